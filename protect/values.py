"""What a decision is about: who asks, for which action, on what, and the answer. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, NamedTuple

NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. Roles are folded to lower case here, so that they compare without case everywhere.

    ``tenant`` is Keystone's project; None for an unscoped token. ``domain`` is the user's own. ``service_roles`` are
    the roles of the trusted service that passes the request on, never mixed with the user's. ``claims`` are any other
    facts, for ``subject.get``.
    """

    id: str | None = None
    tenant: str | None = None
    domain: str | None = None
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    authenticated: bool = True
    admin_project: bool = False
    claims: Mapping[str, object] = field(default_factory=lambda: NOTHING)

    def __post_init__(self) -> None:
        if isinstance(self.roles, str) or isinstance(self.service_roles, str):
            raise TypeError("roles are a set of text, not one text")
        object.__setattr__(self, "roles", frozenset(map(str.lower, self.roles)))
        object.__setattr__(self, "service_roles", frozenset(map(str.lower, self.service_roles)))


@dataclass(frozen=True, slots=True)
class Image:
    """An image as the API knows it, before anything is hidden from anyone.

    ``members`` maps the tenants that the image is shared with to their status (``pending``, ``accepted``,
    ``rejected``). ``properties`` are the custom ones: whatever is not an attribute of the API's image schema.
    Sizes are in the API's units: ``size`` in bytes, ``min_disk`` in GiB, ``min_ram`` in MiB.
    """

    kind: ClassVar[str] = "Image"

    id: str | None = None
    owner: str | None = None
    visibility: str | None = None
    status: str | None = None
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    protected: bool = False
    hidden: bool = False
    size: int | None = None
    min_disk: int | None = None
    min_ram: int | None = None
    tags: frozenset[str] = frozenset()
    members: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an image. ``value`` is the new value on a write, the stored one on a read.

    ``core`` tells an attribute of the API's image schema (``name``, ``owner``, ``tags``, …) from a custom property.
    """

    kind: ClassVar[str] = "Property"

    name: str
    image: Image
    value: object = None
    core: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """An image shared with a tenant."""

    kind: ClassVar[str] = "Member"

    tenant: str | None
    image: Image
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """A place where an image's data lie. ``url`` may carry credentials: it is never logged."""

    kind: ClassVar[str] = "Location"

    image: Image
    url: str | None = None
    scheme: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """An asynchronous task of the image API."""

    kind: ClassVar[str] = "Task"

    id: str | None = None
    type: str | None = None
    owner: str | None = None
    status: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Store:
    """A backend that holds image data."""

    kind: ClassVar[str] = "Store"

    id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metadef:
    """A metadata definition: ``type`` is namespace, object, property, tag or resource_type; ``id`` its name."""

    kind: ClassVar[str] = "Metadef"

    id: str | None = None
    type: str | None = None
    namespace: str | None = None
    owner: str | None = None
    visibility: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """Anything else that a decision query names."""

    kind: ClassVar[str] = "Resource"

    type: str | None = None
    id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


AnyResource = Image | Property | Member | Location | Task | Store | Metadef | Resource


class Query(NamedTuple):
    """May ``subject`` do ``action`` to ``resource``, in these circumstances (API version, remote address, …)?"""

    # A tuple, because one is made for every image of a list: in a third of a frozen dataclass's time.
    subject: Subject
    action: str
    resource: AnyResource
    context: Mapping[str, object] = NOTHING


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. Read ``allowed`` by name: a decision has no truth value of its own.

    ``error`` tells a denial because the policy or a fact could not be evaluated from a denial by policy.
    ``discard`` is true on a denial by policy of a property that a ``discard`` rule says to drop instead of refusing.
    ``revision`` is the hash of the policy that answered.
    """

    allowed: bool
    reason: str
    revision: str = ""
    error: bool = False
    discard: bool = False

    def __bool__(self) -> bool:
        raise TypeError("a Decision has no truth value: read `decision.allowed`")


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a rule stands, and how its head reads. Lines count from 1."""

    file: str
    line: int
    head: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """One question that the policy asked, as the statement that a yes confirms, and the answer."""

    question: str
    answer: bool

    def __str__(self) -> str:
        return f"{self.question}: {'yes' if self.answer else 'no'}"


@dataclass(frozen=True, slots=True)
class Nearest:
    """A rule that would have allowed the query, and what would have to be otherwise: the first condition first."""

    rule: Rule | None
    changes: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision is what it is.

    ``steps`` are the questions asked, in order. ``rule`` is the one that allowed, forbade or discarded; None where no
    rule held. ``nearest`` lists, for a denial by policy, the rules that came nearest to allowing it, nearest first.
    """

    decision: Decision
    steps: tuple[Step, ...] = ()
    rule: Rule | None = None
    nearest: tuple[Nearest, ...] = ()

    def __str__(self) -> str:
        lines = [f"{'allowed' if self.decision.allowed else 'denied'}: {self.decision.reason}"]
        lines += [f"  {step}" for step in self.steps]
        for near in self.nearest:
            lines.append(f"  {near.rule or 'a rule'} would allow it if:")
            lines += [f"    {change}" for change in near.changes]
        return "\n".join(lines)
