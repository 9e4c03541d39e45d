"""Plain Oso on plain objects: the oracle that the decision graph is compared with.

Nothing here comes from the engine but the search of regular expressions. The objects hold values, and a text or number
without a value is an object that equals nothing, not even itself.
"""

from __future__ import annotations

from typing import Any

import re2
from oso import Oso

from protect.values import Image, Location, Member, Metadef, Property, Query, Resource, Store, Subject, Task


class Nothing:
    """A missing value: every comparison with it is false."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__

    def _no(self, other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _no


class Json:
    """What ``get`` returns: compared as JSON compares, ordered only between numbers."""

    def __init__(self, value: object) -> None:
        self.value = value

    def _number(self) -> float | None:
        value = self.value
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def __eq__(self, other: object) -> bool:
        value = other.value if isinstance(other, Json) else other
        if isinstance(value, Nothing) or not isinstance(self.value, str | int | float):
            return False
        return isinstance(value, bool) == isinstance(self.value, bool) and self.value == value

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def _ordered(self, other: object, order: str) -> bool:
        left, right = self._number(), Json(other.value if isinstance(other, Json) else other)._number()
        return left is not None and right is not None and bool(getattr(float(left), order)(float(right)))

    def __lt__(self, other: object) -> bool:
        return self._ordered(other, "__lt__")

    def __le__(self, other: object) -> bool:
        return self._ordered(other, "__le__")

    def __gt__(self, other: object) -> bool:
        return self._ordered(other, "__gt__")

    def __ge__(self, other: object) -> bool:
        return self._ordered(other, "__ge__")


def given(value: object) -> Any:
    return Nothing() if value is None else value


class PlainSubject:
    def __init__(self, subject: Subject) -> None:
        self.id, self.tenant, self.domain = given(subject.id), given(subject.tenant), given(subject.domain)
        self.authenticated, self.admin_project = subject.authenticated, subject.admin_project
        self._subject = subject

    def has_role(self, role: Any) -> bool:
        return isinstance(text := plain(role), str) and text.lower() in self._subject.roles

    def has_service_role(self, role: Any) -> bool:
        return isinstance(text := plain(role), str) and text.lower() in self._subject.service_roles

    def get(self, name: str) -> Any:
        return Json(self._subject.claims.get(name))


def plain(value: Any) -> Any:
    return value.value if isinstance(value, Json) else value


class PlainImage:
    def __init__(self, image: Image) -> None:
        for name in ("id", "owner", "visibility", "status", "name", "disk_format", "container_format"):
            setattr(self, name, given(getattr(image, name)))
        for name in ("size", "min_disk", "min_ram"):
            setattr(self, name, Json(getattr(image, name)))
        self.protected, self.hidden = image.protected, image.hidden
        self._image = image

    def has_tag(self, tag: Any) -> bool:
        return plain(tag) in self._image.tags

    def has_property(self, name: Any) -> bool:
        return plain(name) in self._image.properties

    def shared_with(self, subject: PlainSubject, status: str = "accepted") -> bool:
        return isinstance(subject.tenant, str) and self._image.members.get(subject.tenant) == status

    def get(self, name: str) -> Any:
        return Json(self._image.properties.get(name))


class PlainProperty:
    def __init__(self, item: Property) -> None:
        self.name, self.value, self.image = item.name, Json(item.value), PlainImage(item.image)
        self.core = item.core

    def matches(self, pattern: str) -> bool:
        return re2.search(pattern, self.name) is not None


class PlainMember:
    def __init__(self, member: Member) -> None:
        self.tenant, self.status, self.image = given(member.tenant), given(member.status), PlainImage(member.image)


class PlainOther:
    """Location, Task, Store, Metadef, Resource: text facts and ``get``."""

    def __init__(self, value: Any) -> None:
        for name in ("id", "type", "owner", "status", "namespace", "visibility", "url", "scheme"):
            if hasattr(value, name):
                setattr(self, name, given(getattr(value, name)))
        if hasattr(value, "image"):
            self.image = PlainImage(value.image)
        self._attributes = value.attributes

    def get(self, name: str) -> Any:
        return Json(self._attributes.get(name))


OTHERS: dict[str, type[PlainOther]] = {
    kind.kind: type(kind.kind, (PlainOther,), {}) for kind in (Location, Task, Store, Metadef, Resource)
}


class PlainContext:
    def __init__(self) -> None:
        self.values: Any = {}

    def get(self, name: str) -> Any:
        return Json(self.values.get(name))


class PlainOso:
    """One policy text in Oso, asked about plain objects. ``Resource`` is called ``Other`` here: Oso has its own."""

    def __init__(self, text: str) -> None:
        self.oso = Oso()
        self.context = PlainContext()
        for cls, name in (
            (PlainSubject, "Subject"),
            (PlainImage, "Image"),
            (PlainProperty, "Property"),
            (PlainMember, "Member"),
            *((cls, "Other" if name == "Resource" else name) for name, cls in OTHERS.items()),
        ):
            self.oso.register_class(cls, name=name)
        self.oso.register_constant(self.context, "context")
        self.oso.load_str(text.replace(": Resource", ": Other"))

    def holds(self, entry: str, query: Query) -> bool:
        self.context.values = query.context
        resource: Any = query.resource
        if isinstance(resource, Image):
            resource = PlainImage(resource)
        elif isinstance(resource, Property):
            resource = PlainProperty(resource)
        elif isinstance(resource, Member):
            resource = PlainMember(resource)
        else:
            resource = OTHERS[resource.kind](resource)
        return self.oso.query_rule_once(entry, PlainSubject(query.subject), query.action, resource)
