"""Who may: a condition on a query, put together from questions, and how it becomes a part of a decision graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protect.policy.graph import Builder, Node
from protect.policy.questions import Of, Operator, Question, question
from protect.policy.vocabulary import Fact


@dataclass(frozen=True, slots=True)
class Ask:
    """Holds where the answer is yes."""

    question: Question


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one of ``parts`` does: for none, never."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where each of ``parts`` does: for none, always."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where ``part`` does not."""

    part: Condition


Condition = Ask | AnyOf | AllOf | Not

NOBODY: Final = AnyOf()
EVERYONE: Final = AllOf()

_USER: Fact = ("subject", "roles")
_SERVICE: Fact = ("subject", "service_roles")


def has_role(*roles: str | Of) -> Condition:
    """Holds for a subject with one of ``roles``, without case: as its own, or as the confirmed service's that asks.

    Glance puts the two sets of roles together before it looks at a protection file. They stay two questions here, and
    a yes to either is enough.
    """
    folded = [role if isinstance(role, Of) else role.lower() for role in roles]
    return AnyOf(tuple(Ask(question(Operator.HAS_FOLDED, fact, role)) for fact in (_SERVICE, _USER) for role in folded))


def node(builder: Builder, condition: Condition, no: Node, yes: Node) -> Node:
    """Return the node that leads to ``yes`` where ``condition`` holds, else to ``no``."""
    match condition:
        case Ask(asked):
            return builder.test(asked, no, yes)
        case Not(part):
            return node(builder, part, yes, no)
        case AnyOf(parts):
            for part in reversed(parts):
                no = node(builder, part, no, yes)
            return no
        case AllOf(parts):
            for part in reversed(parts):
                yes = node(builder, part, no, yes)
            return yes
