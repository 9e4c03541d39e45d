"""What else was known when a decision was made, for the decision log: enough to make it again with another policy.

No value, name or number of a property, no tag, no claim and no address of data is among it. A fact that nobody has
asked for yet is left out rather than asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from protect.upstream.facts import FetchedImage
from protect.values import AnyResource, Subject

_IMAGE: Final = (
    *("owner", "visibility", "status", "disk_format", "container_format"),
    *("protected", "hidden", "size", "min_disk", "min_ram"),
)
#: Of the circumstances those that carry no secret: an address to import from may.
_CONTEXT: Final = ("api", "api_version", "remote_address", "store", "import_method")
_RESOURCE: Final = ("tenant", "status", "type", "owner", "namespace", "visibility", "scheme")

Facts = dict[str, object]


def logged_facts(subject: Subject, resource: AnyResource | None, context: Mapping[str, object]) -> Facts:
    """Return the facts of one decision as JSON. ``resource`` is None where many were decided on together."""
    found: Facts = {
        "subject": {
            "roles": sorted(subject.roles),
            "service_roles": sorted(subject.service_roles),
            "domain": subject.domain,
            "authenticated": subject.authenticated,
            "admin_project": subject.admin_project,
        },
        "context": {name: context[name] for name in _CONTEXT if isinstance(context.get(name), str)},
    }
    if resource is None:
        return found
    kind = resource.kind
    if kind == "Property":
        found["attribute"] = getattr(resource, "core", False)
    image = resource if kind == "Image" else getattr(resource, "image", None)
    if image is not None and not (isinstance(image, FetchedImage) and not image.fetched):
        found["image"] = of_image = _read(image, _IMAGE)
        if of_image.get("visibility", "shared") != "shared":
            found["membership"] = None
    if kind not in ("Image", "Property"):
        found["resource"] = _read(resource, _RESOURCE)
    return found


def _read(thing: Any, names: tuple[str, ...]) -> Facts:
    """Return the facts that can be read: what raises is not known."""
    found: Facts = {}
    for name in names:
        try:
            found[name] = getattr(thing, name)
        except Exception:  # a fact that cannot be had is a line's least trouble
            continue
    return found
