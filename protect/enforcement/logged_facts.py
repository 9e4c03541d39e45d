"""What else was known when a decision was made, for the decision log: enough to make it again with another policy.

No value, name or number of a property, no tag, no claim and no address of data is among it. A fact that nobody has
asked for yet is left out rather than asked for, and so is one that is too long: cut, it would be another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from protect.upstream.facts import FetchedImage, FetchedMetadef, FetchedTask, StoredMember
from protect.values import AnyResource, Subject

#: Characters that a text has fewer of, and all roles of one kind together at most four times as many.
LONGEST: Final = 256
_MOST_ROLES: Final = 64
_LARGEST: Final = 2**63

_SUBJECT: Final = ("domain", "authenticated", "admin_project")
_IMAGE: Final = (
    *("owner", "visibility", "status", "disk_format", "container_format"),
    *("protected", "hidden", "size", "min_disk", "min_ram"),
)
#: Of the circumstances those that carry no secret: an address to import from may.
_CONTEXT: Final = ("api", "api_version", "remote_address", "store", "import_method")
_RESOURCE: Final = ("tenant", "status", "type", "owner", "namespace", "visibility", "scheme")
#: What can be read of something that has not been fetched.
_UNFETCHED: Final[Mapping[type, tuple[str, ...]]] = {
    FetchedTask: (),
    FetchedMetadef: ("type", "namespace"),
    StoredMember: ("tenant",),
}

Facts = dict[str, object]


def logged_facts(subject: Subject, resource: AnyResource | None, context: Mapping[str, object]) -> Facts:
    """Return the facts of one decision as JSON. ``resource`` is None where many were decided on together."""
    found: Facts = {"subject": _of_subject(subject), "context": _circumstances(context)}
    if resource is None:
        return found
    kind = resource.kind
    if kind == "Property":
        found["attribute"] = getattr(resource, "core", False)
    image: Any = resource if kind == "Image" else getattr(resource, "image", None)
    if isinstance(image, FetchedImage):
        image = image.stored() if image.fetched else None
    if image is not None and (of_image := _read(image, _IMAGE)):
        found["image"] = of_image
        found |= _membership(image, subject.tenant, of_image)
    if kind not in ("Image", "Property"):
        names = _RESOURCE if getattr(resource, "fetched", True) else _UNFETCHED.get(type(resource), ())
        found["resource"] = _read(resource, names)
    return found


def _of_subject(subject: Subject) -> Facts:
    found: Facts = {}
    for name, roles in (("roles", subject.roles), ("service_roles", subject.service_roles)):
        if not roles or _all_writable(roles):
            found[name] = sorted(roles)
    return found | _read(subject, _SUBJECT)


def _all_writable(roles: AbstractSet[str]) -> bool:
    # The number first: who sends a hundred thousand must not have them looked at.
    return len(roles) <= _MOST_ROLES and sum(map(len, roles)) <= 4 * LONGEST and all(map(_writable, roles))


def _circumstances(context: Mapping[str, object]) -> Facts:
    found: Facts = {}
    for name in _CONTEXT:
        try:
            value = context.get(name)
        except Exception:  # a gateway has not told it, and whatever asks for it is an error
            continue
        if value is None or (isinstance(value, str) and _writable(value)):
            found[name] = value
    return found


def _membership(image: Any, tenant: str | None, of_image: Facts) -> Facts:
    """Return the status of the subject's tenant where it is known already; null where the image has no such member."""
    if of_image.get("visibility", "shared") != "shared":
        return {"membership": None}
    told = getattr(image, "told_members", None)
    try:
        members = image.members if told is None else told()
        status = None if members is None or tenant is None else members.get(tenant)
    except Exception:  # as for any other fact
        return {}
    return {} if members is None or not _writable(status) else {"membership": status}


def _read(thing: Any, names: tuple[str, ...]) -> Facts:
    """Return the facts that can be read: what raises is not known."""
    found: Facts = {}
    for name in names:
        try:
            value = getattr(thing, name)
        except Exception:  # a fact that cannot be had is a line's least trouble
            continue
        # Most are one of these, and this is on the way of a request.
        if value is None or value is False or value is True or _writable(value):
            found[name] = value
    return found


def _writable(value: object) -> bool:
    if isinstance(value, str):
        return len(value) < LONGEST and (value.isascii() or _is_unicode(value))
    return value is None or (isinstance(value, int) and -_LARGEST <= value < _LARGEST)


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no half of a character, which JSON cannot say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
