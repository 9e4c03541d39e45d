"""Resources on the wire: a type that rules know by name becomes that value, any other one a ``Resource``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from protect.authzen.fields import entity, wrong
from protect.authzen.images import GivenImage, NotGiven, Resources, Unknown, by_id, image, of
from protect.errors import MalformedRequest
from protect.glance import locations
from protect.glance.attributes import CORE
from protect.values import AnyResource, Image, Member, Metadef, Property, Resource, Store, Task

Properties = Mapping[str, object]


def resource(value: object, known: Resources) -> AnyResource:
    """Return the resource that ``value`` describes; one of ``known`` where it brings no properties of its own.

    Raises MalformedRequest.
    """
    type_, id_, properties = entity(value, "resource")
    if not properties and (found := known.get((type_, id_))) is not None:
        return found
    return made(type_, id_, properties, known)


def made(type_: str, id_: str, properties: Properties, known: Resources) -> AnyResource:
    """Return the value for a resource of this type; raises MalformedRequest."""
    make = _MAKERS.get(type_)
    if make is None:
        check_type(type_)
        return cast("Resource", GivenResource(type_, id_, properties))
    return make(id_, properties, known)


def check_type(type_: str) -> None:
    """Raise MalformedRequest where a type is one of ours but for its case, or for space around it.

    As a resource of any other kind it would pass by every rule about those.
    """
    meant = type_.strip().casefold()
    if meant in _MAKERS and meant != type_:
        raise MalformedRequest(f"`resource.type` must be written `{meant}`, in lower case and without space around it")


class GivenResource:
    """Any other resource, read like a ``values.Resource`` and made in half of the time."""

    __slots__ = ("attributes", "id", "type")
    kind = "Resource"

    def __init__(self, type_: str, id_: str, attributes: Properties) -> None:
        self.type, self.id, self.attributes = type_, id_, attributes


class GivenMember:
    """A member whose status is not given, read like a ``values.Member``: the image's own list tells it."""

    __slots__ = ("image", "tenant")
    kind = "Member"

    def __init__(self, tenant: str, image: Image) -> None:
        self.tenant, self.image = tenant, image

    @property
    def status(self) -> str | None:
        return self.image.members.get(self.tenant)


class UntoldMember:
    """A member of an image, whose properties say with a null `tenant` that nobody knows which tenant it is.

    What is decided by that is denied as an error: it may be the very tenant that a rule forbids.
    """

    __slots__ = ("image",)
    kind = "Member"

    def __init__(self, image: Image) -> None:
        self.image = image

    @property
    def tenant(self) -> str | None:
        raise NotGiven("which tenant the member is was not given")

    status = tenant


def _image(id_: str, properties: Properties, known: Resources) -> AnyResource:
    if "id" in properties:
        if properties["id"] not in (None, id_):
            raise MalformedRequest("`resource.properties.id` is not `resource.id`")
        return of(id_, properties, known)
    return cast("Image", GivenImage(id_, properties)) if properties else by_id(id_, known)


def _property(id_: str, properties: Properties, known: Resources) -> AnyResource:
    return Property(id_, image(properties.get("image"), known), properties.get("value"), id_ in CORE)


def _member(id_: str, properties: Properties, known: Resources) -> AnyResource:
    shared, status = image(properties.get("image"), known), _text(properties, "status")
    if "tenant" in properties and properties["tenant"] is None:
        return cast("Member", UntoldMember(shared))
    return cast("Member", GivenMember(id_, shared)) if status is None else Member(id_, shared, status)


def _location(id_: str, properties: Properties, known: Resources) -> AnyResource:
    url = _text(properties, "url")
    metadata = properties.get("metadata", {})
    if not isinstance(metadata, dict):
        raise wrong("resource.properties.metadata", "an object", metadata)
    document = {"url": id_ if url is None else url, "metadata": metadata}
    return locations.described(document, image(properties.get("image"), known))


def _task(id_: str, properties: Properties, _known: Resources) -> AnyResource:
    if not properties:
        return cast("Task", Unknown("Task", id_))
    given = properties.get("input", properties)
    if not isinstance(given, dict):
        raise wrong("resource.properties.input", "an object", given)
    type_, owner, status = (_text(properties, key) for key in ("type", "owner", "status"))
    return Task(id_, type_, owner, status, given)


def _store(id_: str, properties: Properties, _known: Resources) -> AnyResource:
    return Store(id_, properties)


def _metadef(id_: str, properties: Properties, _known: Resources) -> AnyResource:
    if not properties:
        return cast("Metadef", Unknown("Metadef", id_))
    type_, namespace, owner, visibility = (
        _text(properties, key) for key in ("type", "namespace", "owner", "visibility")
    )
    return Metadef(id_, type_, namespace, owner, visibility, properties)


def _text(properties: Properties, key: str) -> str | None:
    value = properties.get(key)
    if value is None or type(value) is str:
        return value
    raise wrong(f"resource.properties.{key}", "text", value)


_MAKERS: dict[str, Callable[[str, Properties, Resources], AnyResource]] = {
    "image": _image,
    "property": _property,
    "member": _member,
    "location": _location,
    "task": _task,
    "store": _store,
    "metadef": _metadef,
}

#: The types that become a value of their own.
TYPES = frozenset(_MAKERS)
