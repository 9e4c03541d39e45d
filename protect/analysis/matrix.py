"""Who may do what: every kind of subject and image that a policy tells apart, against every action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from protect.analysis.constraints import Constraint, Except, facts_of, holder, linked
from protect.analysis.outcomes import Choice, Fork, Outcome, Outcomes, Step, upwards
from protect.analysis.realism import VISIBILITIES
from protect.analysis.topics import OPERATIONS, Topic, topic_of, topics
from protect.analysis.walking import Search, Witness, can, outcomes
from protect.analysis.worlds import satisfy
from protect.glance.attributes import CORE
from protect.policy.policy import Policy
from protect.policy.questions import Of, Operator, question
from protect.policy.vocabulary import CORE as IS_CORE
from protect.policy.vocabulary import NAME, TYPES, Fact, phrase
from protect.values import Query

#: Roles that Keystone makes imply one another, from the least to the most.
_IMPLIED = ("reader", "member", "manager", "admin")

_ROLES: Fact = ("subject", "roles")
_SERVICE_ROLES: Fact = ("subject", "service_roles")
_TENANT: Fact = ("subject", "tenant")
_AUTHENTICATED: Fact = ("subject", "authenticated")


class Answer(StrEnum):
    """What a cell says. ``UNCLEAR``: neither could be proven. ``NEVER``: there is no such request."""

    YES = "yes"
    NO = "no"
    DEPENDS = "depends"
    UNCLEAR = "unclear"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of subject: its roles, as the policy mentions them. Roles that Keystone implies are had as well."""

    label: str
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    authenticated: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of image: the subject's own, one shared with it, or a stranger's; with one visibility or several."""

    label: str
    relation: str
    visibilities: tuple[str, ...]


RELATIONS = ("own", "accepted", "pending", "stranger's")
ANY = "any"


def atoms(label: str) -> set[str]:
    """Return the single kinds of images that a label stands for, as labels: it may stand for several."""
    if label == ANY:
        return {place.label for place in _places(VISIBILITIES)}
    relation, _, visibilities = label.partition(" ")
    if relation not in ("own", "stranger's"):
        return {label}
    several = VISIBILITIES if visibilities == ANY else visibilities.split("/")
    return {f"{relation} {visibility}" for visibility in several}


@dataclass(frozen=True, slots=True)
class Column:
    """An action on a type of resource, or on the properties with one of ``names``."""

    label: str
    topic: Topic


@dataclass(frozen=True, slots=True)
class Cell:
    """The answer; ``condition`` says when a ``DEPENDS`` is a yes. ``query`` is an example, of a yes if there is one."""

    answer: Answer
    condition: str = ""
    query: Query | None = None


@dataclass(slots=True)
class Matrix:
    """``cells`` by row, place and column."""

    rows: list[Row] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    cells: dict[tuple[Row, Place, Column], Cell] = field(default_factory=dict)


def matrix(policy: Policy) -> Matrix:
    """Return the matrix of a policy."""
    return _Filling(policy).matrix()


class _Filling:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._made = Outcomes()
        self._known: dict[object, Cell] = {}
        self._facts: dict[int, frozenset[Fact]] = {}
        self._roles: set[str] = set()
        self._service_roles: set[str] = set()

    def matrix(self) -> Matrix:
        columns = list(self._columns())
        self._roles = self._mentioned(columns, _ROLES)
        self._service_roles = self._mentioned(columns, _SERVICE_ROLES)
        rows = list(self._rows(columns))
        made = Matrix(rows, list(_places(VISIBILITIES)), columns)
        for row in rows:
            for place in made.places:
                for column in columns:
                    made.cells[row, place, column] = self._cell(row, place, column)
        return _merged(made)

    # --- what there is ---

    def _columns(self) -> Iterator[Column]:
        found = topics(self._policy, made=self._made)
        anywhere = {
            topic.action: topic.step(self._policy, self._made)
            for topic in found
            if topic.kind == "Resource" and topic.action is not None
        }
        for topic in found:
            if topic.action is None or (topic.kind == "Property" and topic.action not in OPERATIONS):
                continue
            if topic.kind == "Property":
                if self._left_out(topic):
                    continue
                yield Column(f"{topic.action} {_names(topic)}", topic)
                continue
            step = topic.step(self._policy, self._made)
            # A rule about any resource is one column, not one for each type.
            if topic.kind != "Resource" and anywhere.get(topic.action) is step:
                continue
            yield Column(topic.action if topic.kind == "Image" else f"{topic.action} ({topic.kind})", topic)

    def _left_out(self, topic: Topic) -> bool:
        """Whether a class of properties says nothing: attributes once more, or words for actions that names are not."""
        if topic.names is None:
            return topic.attribute
        names = topic.names - (frozenset() if topic.attribute else CORE)
        if not names or names - {*OPERATIONS}:
            return not names
        other = topic_of(self._policy, "Property", str(topic.action))
        pair = topic.step(self._policy, self._made), other.step(self._policy, self._made)
        found = Search(topic, lambda ends: None if ends[0].outcome is ends[1].outcome else True).run(pair)
        return found.proven and not found.witnesses

    def _rows(self, columns: Sequence[Column]) -> Iterator[Row]:
        roles = self._roles
        if any(_AUTHENTICATED in self._facts_below(column.topic) for column in columns):
            yield Row("not authenticated", authenticated=False)
        yield Row("no role")
        known = [role for role in _IMPLIED if role in roles]
        for role in [*known, *sorted(roles - set(known))]:
            implied = known[: known.index(role) + 1] if role in known else [role]
            yield Row(f"role {role}", frozenset(implied))
        for role in sorted(self._service_roles):
            yield Row(f"service role {role}", service_roles=frozenset((role,)))

    def _mentioned(self, columns: Sequence[Column], fact: Fact) -> set[str]:
        found: set[str] = set()
        for column in columns:
            for step in upwards(column.topic.step(self._policy, self._made)):
                if isinstance(step, Fork) and step.question.fact == fact and isinstance(step.question.operand, str):
                    found.add(step.question.operand)
        return found

    def _facts_below(self, topic: Topic) -> frozenset[Fact]:
        root = topic.step(self._policy, self._made)
        known = self._facts.get(id(root))
        if known is None:
            known = self._facts[id(root)] = frozenset(_facts(root))
        return known

    # --- one cell ---

    def _cell(self, row: Row, place: Place, column: Column) -> Cell:
        topic = column.topic
        below = self._facts_below(topic)
        given = (*_subject(row, self._roles, self._service_roles), *_image(place, topic.kind))
        bearing = linked((*given, *topic.given), {*below, *(fact for one in topic.given for fact in facts_of(one))})
        key = (id(topic.step(self._policy, self._made)), topic, bearing & set(given))
        if key not in self._known:
            relevant = tuple(one for one in given if one in bearing)
            self._known[key] = self._decided(topic, (*relevant, *_usual(topic)))
        return self._known[key]

    def _decided(self, topic: Topic, given: tuple[Constraint, ...]) -> Cell:
        if satisfy((*topic.given, *given), topic.kind, action=topic.action) is None:
            return Cell(Answer.NEVER)
        found = outcomes(self._policy, topic, given)
        yes = found.witnesses.get(Outcome.ALLOWED)
        other = found.witnesses.get(Outcome.DENIED) or found.witnesses.get(Outcome.DISCARDED)
        if not found.proven:
            witness = yes or other
            return Cell(Answer.UNCLEAR, found.doubts[0], witness.query if witness else None)
        if yes is None:
            return Cell(Answer.NO, query=other.query if other else None)
        if other is None:
            return Cell(Answer.YES, query=yes.query)
        return Cell(Answer.DEPENDS, self._condition(topic, given, yes), yes.query)

    def _condition(self, topic: Topic, given: tuple[Constraint, ...], witness: Witness) -> str:
        """Return what must be so for a yes: conditions that are enough, and none of them idle."""
        known = {*given, *topic.given}
        needed = [one for one in witness.constraints if one not in known]
        for one in list(needed):
            rest = [other for other in needed if other is not one]
            refused = [
                can(self._policy, topic, (*given, *rest), outcome) for outcome in (Outcome.DENIED, Outcome.DISCARDED)
            ]
            if all(answer is None for answer in refused):
                needed = rest
        return " and ".join(_words(one, topic.kind) for one in needed)


def _facts(root: Step) -> Iterator[Fact]:
    for step in upwards(root):
        if isinstance(step, Fork):
            yield from map(holder, step.question.facts())
        elif isinstance(step, Choice):
            yield holder(step.fact)


def _words(constraint: Constraint, kind: str) -> str:
    if isinstance(constraint, tuple):
        said = constraint[0].phrase(kind)
        return said if constraint[1] else f"not ({said})"
    values = ", ".join(f'"{value}"' for value in sorted(constraint.values))
    word = "none of" if isinstance(constraint, Except) else "one of"
    return f"{phrase(constraint.fact, kind)} is {word} {values}"


def _names(topic: Topic) -> str:
    if topic.names is None:
        return "any other property"
    names = sorted(topic.names)
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{'attribute ' if topic.attribute else ''}{listed}"


def _places(visibilities: Sequence[str]) -> Iterator[Place]:
    for relation in RELATIONS:
        shared = relation in ("accepted", "pending")
        for visibility in ("shared",) if shared else visibilities:
            yield Place(_label(relation, (visibility,)), relation, (visibility,))


def _label(relation: str, visibilities: Sequence[str]) -> str:
    if relation in ("accepted", "pending"):
        return f"shared with it ({relation})"
    return f"{relation} {'/'.join(visibilities)}"


def _subject(row: Row, roles: Iterable[str], service_roles: Iterable[str]) -> Iterator[Constraint]:
    """Yield that the subject has the row's roles, and none of the others that the policy mentions."""
    for fact, mentioned, held in (
        (_ROLES, roles, row.roles),
        (_SERVICE_ROLES, service_roles, row.service_roles),
    ):
        for role in sorted(mentioned):
            yield question(Operator.HAS_FOLDED, fact, role), role in held
    yield question(Operator.IS_TRUE, _AUTHENTICATED), row.authenticated


def _image(place: Place, kind: str) -> Iterator[Constraint]:
    """Yield what a kind of image means for a type of resource: for those without an image, whose the resource is."""
    image: Fact | None = ("resource",) if kind == "Image" else ("resource", "image") if "image" in TYPES[kind] else None
    owner = image if image is not None else ("resource",)
    if image is not None or "owner" in TYPES[kind]:
        yield question(Operator.EQUALS, (*owner, "owner"), Of(_TENANT)), place.relation == "own"
    if image is None:
        return
    yield question(Operator.EQUALS, (*image, "visibility"), place.visibilities[0]), True
    for status in ("accepted", "pending", "rejected"):
        yield question(Operator.SHARED, (*image, "members"), Of(_TENANT), status), place.relation == status


def _usual(topic: Topic) -> Iterator[Constraint]:
    if topic.kind == "Property" and not topic.attribute:
        yield Except(NAME, CORE)
        yield question(Operator.IS_TRUE, IS_CORE), False


def _merged(made: Matrix) -> Matrix:
    """Put kinds of images together that every answer treats alike."""
    groups: dict[object, list[Place]] = {}
    for place in made.places:
        answers = tuple(
            (cell.answer, cell.condition)
            for row in made.rows
            for column in made.columns
            for cell in (made.cells[row, place, column],)
        )
        groups.setdefault((place.relation, answers), []).append(place)
    merged = Matrix(made.rows, [], made.columns)
    for places in groups.values():
        visibilities = tuple(visibility for place in places for visibility in place.visibilities)
        several = places[0].relation in ("own", "stranger's") and len(visibilities) == len(VISIBILITIES)
        label = f"{places[0].relation} {ANY}" if several else _label(places[0].relation, visibilities)
        place = Place(label, places[0].relation, visibilities)
        merged.places.append(place)
        for row in made.rows:
            for column in made.columns:
                merged.cells[row, place, column] = made.cells[row, places[0], column]
    return merged
