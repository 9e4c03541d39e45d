"""What Glance asks its rules about: the type of resource of each action, and what it tells about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Rules that others refer to, and that Glance asks by no name of an action.
HELPERS: Final = frozenset({"default", "context_is_admin", "service_api", "metadef_default", "metadef_admin"})

_MEMBERS: Final = frozenset({"get_member", "add_member", "modify_member", "delete_member"})
_TASKS: Final = frozenset({"get_task", "get_tasks", "add_task", "modify_task"})
_WHATEVER: Final = frozenset(
    {"tasks_api_access", "stores_info_detail", "manage_image_cache", "list_cached_nodes"}
    | {"cache_image", "cache_list", "cache_delete", "cache_clean", "cache_prune"}
)

#: Where Glance tells less than all of an image.
TOLD: Final[Mapping[str, frozenset[str]]] = {
    "get_images": frozenset({"owner"}),
    "add_image": frozenset({"owner", "visibility"}),
}
#: What it tells of a metadata definition.
TOLD_OF_METADEFS: Final = frozenset({"owner", "visibility"})

TOPICS: Final = (
    "images",
    "locations",
    "members of images",
    "metadata definitions",
    "tasks",
    "what belongs to the operator",
)


def kinds(action: str) -> tuple[str, ...]:
    """Return the types of resource that a query for an action can name; none for whatever it names."""
    if action in _WHATEVER:
        return ()
    if action in _TASKS:
        return ("Task",)
    if action in _MEMBERS:
        return ("Member",)
    if "_image_location" in action:
        return ("Image", "Location")
    return ("Metadef",) if "metadef" in action else ("Image",)


def topic(action: str) -> str:
    """Return under which heading an action stands."""
    found = {
        (): TOPICS[5],
        ("Task",): TOPICS[4],
        ("Member",): TOPICS[2],
        ("Image", "Location"): TOPICS[1],
        ("Metadef",): TOPICS[3],
    }
    return TOPICS[2] if action == "get_members" else found.get(kinds(action), TOPICS[0])
