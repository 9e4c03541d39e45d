"""What there is to ask of one policy, or of two together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from protect.analysis.constraints import Among, Constraint, Except
from protect.analysis.outcomes import Outcomes, Step
from protect.glance.attributes import CORE
from protect.policy.graph import NO
from protect.policy.policy import ByName, Graphs, Policy
from protect.policy.questions import Of, Operator, question
from protect.policy.vocabulary import ACTION, NAME, RESOURCES
from protect.policy.vocabulary import CORE as IS_CORE
from protect.values import Decision, Query

#: What can be done with a property; every other action on one is nobody's.
OPERATIONS = ("create", "read", "update", "delete")

#: Stands for an action that no policy mentions.
_ANY_OTHER = "\ue000"


@dataclass(frozen=True, slots=True)
class Topic:
    """An action on a type of resource; for properties, on those with one of ``names``.

    ``action`` None is any action but those of ``other_than``. ``names`` None is any name that the policies do not tell
    apart by text, and the empty set the name that is the action itself; ``given`` says so in constraints. With
    ``attribute``, the API's own attribute is meant, which ``Policy.forbidden`` decides.
    """

    kind: str
    action: str | None
    names: frozenset[str] | None = None
    attribute: bool = False
    given: tuple[Constraint, ...] = field(default=(), repr=False)

    def decide(self, policy: Policy, query: Query) -> Decision:
        """Let the policy decide the way it does for this topic."""
        return policy.forbidden(query) if self.attribute else policy.decide(query)

    def graphs(self, policy: Policy) -> Graphs:
        """Return the policy's graphs for it."""
        action = _known(self.action)
        if self.kind != "Property":
            found = policy.table.actions.get((self.kind, action))
            return found if found is not None else policy.table.other.get(self.kind) or Graphs()
        by_name = _by_name(action, policy)
        if self.names is None:
            return by_name.other
        if not self.names:
            return by_name.same or by_name.other
        return by_name.find(action, min(self.names))

    def step(self, policy: Policy, made: Outcomes) -> Step:
        """Return the graph of outcomes."""
        graphs = self.graphs(policy)
        return made.forbidden(graphs) if self.attribute else made.decided(graphs)


def topics(*policies: Policy, kinds: Iterable[str] | None = None, made: Outcomes | None = None) -> list[Topic]:
    """Return every topic of the policies, so that each query falls into exactly one (and attributes into one more).

    ``made`` are the graphs of outcomes, where they are used afterwards.
    """
    wanted = RESOURCES if kinds is None else tuple(kinds)
    made = made or Outcomes()
    return [
        topic
        for kind in wanted
        for topic in (_properties(policies, made) if kind == "Property" else _of(kind, policies))
    ]


def _of(kind: str, policies: Iterable[Policy]) -> Iterator[Topic]:
    policies = tuple(policies)
    actions = {action for policy in policies for of, action in policy.table.actions if of == kind}
    for action in sorted(actions):
        yield Topic(kind, action)
    yield Topic(kind, None, given=(Except(ACTION, frozenset(actions)),))


def _properties(policies: tuple[Policy, ...], made: Outcomes) -> Iterator[Topic]:
    actions = {action for policy in policies for action in policy.table.properties}
    for action in (*OPERATIONS, *sorted(actions - {*OPERATIONS}), None):
        others = (Except(ACTION, frozenset({*actions, *OPERATIONS})),) if action is None else ()
        for names in _classes(action, policies, made.decided):
            yield Topic("Property", action, names, given=(*others, *_named(action, names, policies)))
        if action is None:
            continue
        if any(_forbids(action, policy) for policy in policies):
            for names in _classes(action, policies, made.forbidden, CORE):
                held = CORE - _mentioned(action, policies) if names is None else names & CORE
                if held:
                    given = (Among(NAME, held), (question(Operator.IS_TRUE, IS_CORE), True))
                    yield Topic("Property", action, names, attribute=True, given=given)


def _known(action: str | None) -> str:
    return action if action is not None else _ANY_OTHER


def _by_name(action: str | None, policy: Policy) -> ByName:
    return policy.table.properties.get(_known(action), policy.table.other_properties)


def _forbids(action: str, policy: Policy) -> bool:
    return any(graphs.forbid is not NO for graphs in _by_name(action, policy).all())


def _mentioned(action: str | None, policies: tuple[Policy, ...]) -> set[str]:
    found: set[str] = set()
    for policy in policies:
        by_name = _by_name(action, policy)
        found |= by_name.names.keys()
        if action is not None and by_name.same is not None:
            found.add(action)
    return found


def _apart(action: str | None, policies: tuple[Policy, ...]) -> bool:
    """Whether a policy that knows the action only as one of many tells a name that is the action from the others."""
    return action is None and any(policy.table.other_properties.same is not None for policy in policies)


def _classes(
    action: str | None,
    policies: tuple[Policy, ...],
    graph: Callable[[Graphs], Step],
    within: frozenset[str] | None = None,
) -> Iterator[frozenset[str] | None]:
    """Yield the classes of names that all policies treat alike; None is the names that none of them mentions."""
    groups: dict[tuple[int, ...], set[str]] = {}
    for name in _mentioned(action, policies):
        if within is None or name in within:
            key = [id(graph(_by_name(action, policy).find(_known(action), name))) for policy in policies]
            groups.setdefault(tuple(key), set()).add(name)
    yield from sorted((frozenset(names) for names in groups.values()), key=lambda names: min(names))
    if _apart(action, policies):
        yield frozenset()
    yield None


def _named(action: str | None, names: frozenset[str] | None, policies: tuple[Policy, ...]) -> tuple[Constraint, ...]:
    is_action = question(Operator.EQUALS, NAME, Of(ACTION))
    if names:
        return (Among(NAME, names),)
    mentioned = _mentioned(action, policies)
    other: tuple[Constraint, ...] = (Except(NAME, frozenset(mentioned)),) if mentioned else ()
    if _apart(action, policies):
        return (*other, (is_action, names is not None))
    return other


def topic_of(policy: Policy, kind: str, action: str, name: str | None = None, *, attribute: bool = False) -> Topic:
    """Return the topic of one action: of a property, that of its ``name``, or of any other name where that is None."""
    if kind != "Property":
        return Topic(kind, action)
    if name is not None:
        core = ((question(Operator.IS_TRUE, IS_CORE), True),) if attribute else ()
        return Topic(kind, action, frozenset({name}), attribute, (Among(NAME, frozenset({name})), *core))
    return Topic(kind, action, None, attribute, _named(action, None, (policy,)))
