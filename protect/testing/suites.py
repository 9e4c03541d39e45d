"""What a test file says: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from protect.protections.conditions import Condition
from protect.values import AnyResource, Query, Subject

#: Stands for every action that is known for a resource and not named beside it.
ANY_OTHER = "*"

#: Stands, in an invariant, for every action that the policy does not mention.
UNMENTIONED = "any other"


class Answer(StrEnum):
    """What a policy can answer. ``DISCARD``: the property is dropped without a word."""

    ALLOW = "allow"
    DENY = "deny"
    DISCARD = "discard"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Named:
    """A subject or a resource of the file. ``attribute``: an attribute of the API, asked of ``forbid`` rules alone."""

    name: str
    value: Subject | AnyResource
    line: int
    attribute: bool = False

    def kind(self) -> str:
        """Return the type of a resource."""
        return getattr(self.value, "kind", "Subject")

    def type(self) -> tuple[str, bool]:
        """Return the type of a resource, and whether it is an attribute of the API."""
        return self.kind(), self.attribute


@dataclass(frozen=True, slots=True)
class Asked:
    """An action (or a rule) that a file names, with its place, to be looked for in the policy."""

    text: str
    kinds: frozenset[str]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """One question and what the answer must be. The three names are how the file calls what ``query`` is made of.

    ``because``: rules by their id or head, of which one must have decided; empty where nothing is said.
    """

    subject: str
    action: str
    resource: str
    query: Query
    answer: Answer
    line: int
    attribute: bool = False
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """How the expectations of a test are laid out for a reader: which of the three names stand in columns."""

    across: str = "resource"


@dataclass(frozen=True, slots=True)
class Case:
    """One test: questions with their answers. ``skip`` is the reason why it is not run."""

    name: str
    file: str
    line: int
    expectations: tuple[Expectation, ...] = ()
    grid: Grid = field(default_factory=Grid)
    skip: str = ""


class Demand(StrEnum):
    """What an invariant says of every request that fits."""

    NEVER = "never"
    ALWAYS = "always"
    ONLY_WHEN = "only_when"
    IMPLIES = "implies"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A demand on every request. ``actions`` are asked about; ``("*",)`` is every action.

    ``kind`` is the type of resource, ``attribute`` the API's attributes in place of properties. ``when`` is what
    requests must be like to be meant at all, ``only`` what an allowed one must be like, ``then`` are the actions that
    must be allowed as well; the texts are as written. ``lenient``: what cannot be proven is no failure.
    """

    name: str
    file: str
    line: int
    demand: Demand
    actions: tuple[str, ...]
    kind: str = "Image"
    attribute: bool = False
    when: Condition | None = None
    when_text: str = ""
    only: Condition | None = None
    only_text: str = ""
    then: tuple[str, ...] = ()
    lenient: bool = False
    skip: str = ""

    def sentence(self) -> str:
        """Say it in one line."""
        named = (f"{one} action" if one == UNMENTIONED else one for one in self.actions)
        actions = "any action" if self.actions == (ANY_OTHER,) else " or ".join(named)
        thing = "attribute" if self.attribute else self.kind.lower()
        when = f" when {self.when_text}" if self.when_text else ""
        match self.demand:
            case Demand.NEVER:
                return f"never: {actions} of {_article(thing)}{when}"
            case Demand.ALWAYS:
                return f"always: {actions} of {_article(thing)}{when}"
            case Demand.ONLY_WHEN:
                return f"allowed: {actions} of {_article(thing)}{when}, only when {self.only_text}"
            case _:
                return f"allowed: {actions} of {_article(thing)}{when}, implies {' and '.join(self.then)}"


def _article(thing: str) -> str:
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Which policy a file tests: paths as written, relative to ``directory``."""

    paths: tuple[str, ...]
    directory: str
    protection_format: str = "roles"
    policy_rules: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class Suite:
    """One test file."""

    file: str
    policy: PolicySource
    cases: tuple[Case, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    asked: tuple[Asked, ...] = ()
    because: tuple[Asked, ...] = ()
