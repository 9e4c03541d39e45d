"""What Glance tells oslo.policy of a question, as a subject and a resource of ours.

oslo.policy calls the facts about what is asked for the target, and those about who asks the credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

#: What stands for an id that oslo.policy is not told: one must be sent.
NOT_TOLD = "-"

#: The attributes of the API's image document that a target has under the same name.
ATTRIBUTES = (
    *("name", "owner", "visibility", "status", "tags", "protected", "os_hidden", "disk_format", "container_format"),
    *("min_disk", "min_ram", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"),
    *("created_at", "updated_at"),
)
#: All that a target has beside custom properties.
KEYS = frozenset({*ATTRIBUTES, "image_id", "id", "project_id", "member", "member_id", "extra_properties", "locations"})

# Of an image that is not there yet Glance tells nothing else.
_PROPOSED = frozenset({"project_id", "owner", "visibility"})
_LIST_RULE = "get_images"

_MEMBER_RULES = frozenset({"get_member", "add_member", "modify_member", "delete_member"})
_TASK_RULES = frozenset({"tasks_api_access", "get_task", "get_tasks", "add_task", "modify_task"})
_STORE_RULES = frozenset(
    {
        *("stores_info_detail", "manage_image_cache", "list_cached_nodes"),
        *("cache_image", "cache_list", "cache_delete", "cache_clean", "cache_prune"),
    }
)
_METADEF = re.compile(r"_metadef_(namespace|object|propert|tag|resource_type)")


class Shape(NamedTuple):
    """A resource as the decision endpoint wants it: type, id and properties."""

    type: str
    id: str
    properties: dict[str, object]


class Person(NamedTuple):
    """A subject as the decision endpoint wants it: id and properties; the type is `user`."""

    id: str
    properties: dict[str, object]


def person(credentials: Mapping[str, object]) -> Person:
    """Return who asks. Without a user nobody has been authenticated, and then there is nothing else to say."""
    user = credentials.get("user_id")
    if not isinstance(user, str) or not user:
        return Person(NOT_TOLD, {"authenticated": False})
    told = {
        "tenant": credentials.get("project_id"),
        "domain": credentials.get("user_domain_id"),
        "roles": credentials.get("roles"),
        # oslo.context has them from keystonemiddleware, which drops those of a service that it has not verified.
        "service_roles": credentials.get("service_roles"),
        "admin_project": credentials.get("is_admin_project"),
        "system_scope": credentials.get("system_scope"),
        "project_domain": credentials.get("project_domain_id"),
    }
    return Person(user, {name: value for name, value in told.items() if value is not None})


def shape(rule: str, target: Mapping[str, object]) -> Shape:
    """Return what is asked for: an image where the target is one, else what the rule's name says, else `openstack`."""
    image = _image(rule, target)
    if image is not None:
        return _of_image(rule, target, image)
    metadef = _METADEF.search(rule)
    if metadef is not None:
        kind = "property" if metadef[1] == "propert" else metadef[1]
        told = {"type": kind, "owner": target.get("project_id"), "visibility": target.get("visibility")}
        return Shape("metadef", NOT_TOLD, {name: value for name, value in told.items() if value is not None})
    if rule in _TASK_RULES:
        return Shape("task", NOT_TOLD, {})
    if rule in _STORE_RULES:
        return Shape("store", NOT_TOLD, {})
    id_ = target.get("id")
    return Shape("openstack", id_ if isinstance(id_, str) and id_ else NOT_TOLD, dict(target))


def _of_image(rule: str, target: Mapping[str, object], image: dict[str, object]) -> Shape:
    id_ = image.get("id")
    if rule in _MEMBER_RULES:
        # Which tenant it is about is told only where that is the subject's own.
        member = target.get("member")
        if isinstance(member, str) and member:
            return Shape("member", member, {"image": image})
        return Shape("member", NOT_TOLD, {"image": image, "tenant": None})
    return Shape("image", id_ if isinstance(id_, str) and id_ else NOT_TOLD, image)


def _image(rule: str, target: Mapping[str, object]) -> dict[str, object] | None:
    """Return the image document in a target, None where there is none."""
    if target.keys() == _PROPOSED:
        return {"owner": target["owner"], "visibility": target["visibility"], "members": {}}
    if not {"image_id", "disk_format", "visibility"} <= target.keys():
        # Of a list, only whose it is.
        return {"owner": target.get("project_id"), "members": {}} if rule == _LIST_RULE else None
    extra = target.get("extra_properties")
    document = {name: value for name, value in target.items() if name not in KEYS}
    # What the API calls an attribute is never a custom property, whatever is stored under that name.
    document |= {name: value for name, value in (extra.items() if isinstance(extra, dict) else ()) if name not in KEYS}
    document |= {name: target.get(name) for name in ATTRIBUTES}
    document["id"] = target["image_id"]
    if target["visibility"] == "shared":
        # Glance says that the subject's tenant is a member, not what it has answered: the least that it can be.
        member = target.get("member")
        document["members"] = {member: "pending"} if isinstance(member, str) and member else {}
    return document
