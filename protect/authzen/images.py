"""Images on the wire, and what is said of one whose attributes nobody gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from protect.authzen.fields import wrong
from protect.errors import MalformedRequest, ProtectError
from protect.glance.attributes import CORE
from protect.glance.documents import StoredImage, as_image
from protect.json_bodies import printable
from protect.values import AnyResource, Image, Metadef, Task

Resources = Mapping[tuple[str, str], AnyResource]

#: What a document says beside custom properties: the API's attributes, and whom the image is shared with.
_NOT_CUSTOM = CORE | {"members"}

_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("owner", "visibility", "status", "name", "disk_format", "container_format"), str),
    **dict.fromkeys(("os_hidden", "protected"), bool),
    **dict.fromkeys(("size", "min_disk", "min_ram"), int),
}
_WANTED = {str: "text", bool: "true or false", int: "a whole number"}

_FACTS = frozenset({*Image.__dataclass_fields__, *Task.__dataclass_fields__, *Metadef.__dataclass_fields__})


class NotGiven(ProtectError, AttributeError):
    """A rule asks for a fact that the query does not bring and no entity supplies. Taken as absent, it could silence
    a `forbid`, so whatever is decided by it is denied as an error."""


class Unknown:
    """A resource of which only the id is known, read like the value of its ``kind``: any other fact raises NotGiven.

    What can be decided without its facts is decided.
    """

    __slots__ = ("id", "kind")

    def __init__(self, kind: str, id_: str | None) -> None:
        self.kind = kind
        self.id = id_

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            raise NotGiven(self.message())
        raise AttributeError(name)

    def message(self) -> str:
        named = self.kind.lower() if self.id is None else f"{self.kind.lower()} `{printable(self.id)}`"
        return f"the attributes of {named} were not given, and no entity supplies them"


class GivenImage(StoredImage):
    """An image as a query gives it: a document as the API shows it, with ``members`` (tenant to status) beside."""

    __slots__ = ("id",)

    def __init__(self, id_: str | None, document: Mapping[str, object]) -> None:
        """Raises MalformedRequest for an attribute of the wrong type."""
        check_document(document)
        # What the base class does, without a call of its own: batches make many of these.
        self.document = cast("dict[str, Any]", document)
        self._properties = None
        self.id = id_  # type: ignore[misc]

    @property
    def members(self) -> Mapping[str, str]:
        if self.visibility != "shared":
            return {}
        members = self.document.get("members")
        if members is None:
            raise NotGiven(self.message())
        return cast("Mapping[str, str]", members)

    def told_members(self) -> Mapping[str, str] | None:
        """Return the members, None where they were not given."""
        return cast("Mapping[str, str] | None", self.document.get("members"))

    @property
    def properties(self) -> Mapping[str, object]:
        if self._properties is None:
            self._properties = {name: self.document[name] for name in self.document.keys() - _NOT_CUSTOM}
        return self._properties

    def message(self) -> str | None:
        """Say which facts were not given that a rule can ask for; None where all were."""
        if self.visibility != "shared" or self.document.get("members") is not None:
            return None
        return f"the image `{printable(str(self.id))}` is shared, and its `members` were not given"


def image(value: object, known: Resources) -> Image:
    """Return the image in a resource's properties: a document, or only its id; raises MalformedRequest.

    Where there is none at all, its facts are not given.
    """
    if value is None or type(value) is str:
        return by_id(value, known)
    if type(value) is not dict:
        raise wrong("resource.properties.image", "an image document or its id", value)
    id_ = value.get("id")
    if id_ is not None and type(id_) is not str:
        raise wrong("resource.properties.image.id", "text", id_)
    return of(id_, value, known)


def of(id_: str | None, document: Mapping[str, object], known: Resources) -> Image:
    """Return the image with this id. A document that says nothing beside the id is none; raises MalformedRequest."""
    if not document or (len(document) == 1 and "id" in document):
        return by_id(id_, known)
    return as_image(GivenImage(id_, document))


def by_id(id_: str | None, known: Resources) -> Image:
    """Return the image of which only the id is given."""
    found = known.get(("image", id_)) if id_ is not None else None
    return cast("Image", found if found is not None else Unknown("Image", id_))


def not_given(resource: object) -> str | None:
    """Say which attributes of ``resource``, or of its image, were not given that a rule can ask for."""
    for thing in (resource, getattr(resource, "image", None)):
        if isinstance(thing, Unknown | GivenImage):
            return thing.message()
    return None


def check_document(document: Mapping[str, object]) -> None:
    """Raise MalformedRequest where an attribute of the API is of the wrong type. Null is no value."""
    types = _TYPES
    for name, value in document.items():
        if name in types and type(value) is not types[name] and value is not None:
            raise _wrong(name, _WANTED[types[name]], value)
    # These two look further in.
    if "tags" in document:
        tags = document["tags"]
        if type(tags) is not list or not all(type(tag) is str for tag in tags):
            raise MalformedRequest("the attribute `tags` of an image must be an array of text")
    if "members" in document:
        members = document["members"]
        if members is not None and not (
            type(members) is dict and all(type(status) is str for status in members.values())
        ):
            raise MalformedRequest("the `members` of an image must be an object: of each tenant its status, as text")


def _wrong(name: str, wanted: str, value: object) -> MalformedRequest:
    return wrong(name, f"{wanted} in an image", value)
