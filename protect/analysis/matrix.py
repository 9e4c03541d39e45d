"""Who may do what: every kind of subject and image that a policy tells apart, against every action."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from protect.analysis.constraints import Among, Constraint, Except, facts_of, holder, linked
from protect.analysis.names import CannotSay, Pattern, names
from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes, Step, upwards
from protect.analysis.realism import VISIBILITIES
from protect.analysis.topics import OPERATIONS, Topic, topic_of, topics
from protect.analysis.walking import Found, Search, Witness, outcome_of
from protect.analysis.worlds import satisfy
from protect.glance.attributes import CORE
from protect.policy.policy import Policy
from protect.policy.questions import Of, Operator, Question, question
from protect.policy.vocabulary import CORE as IS_CORE
from protect.policy.vocabulary import NAME, RESOURCES, TYPES, Fact, phrase
from protect.values import Property, Query

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


#: The rows of a subject without any role that the policy mentions, and of one with a role.
NO_ROLE, _ROLE = "no role", "role "

#: What a column is called that stands for every action that the policy does not tell apart.
ANY_OTHER_ACTION = "any other action"
#: The types of resources whose actions are what the API calls them; those on a property are its operations.
WITH_ACTIONS = tuple(kind for kind in RESOURCES if kind != "Property")

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
    """An action on a type of resource, or on the properties with one of ``names``.

    ``kinds`` are the types of resources that are answered alike. ``like`` are the patterns that tell names apart which
    no text does: the first of the policy's that fit. ``step`` is then what is left of the policy for such names, and
    ``doubt`` says why it is not known whether there are any.
    """

    label: str
    topic: Topic
    kinds: tuple[str, ...]
    like: str = ""
    step: Step | None = field(default=None, compare=False, repr=False)
    doubt: str = ""


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


#: Beyond so many kinds of names they are one column, whose conditions tell them apart.
MOST_KINDS_OF_NAMES = 2_000

_LATE = "there was no time to look"

#: Is told how many of how many are done.
Progress = Callable[[int, int], None]


def matrix(
    policy: Policy,
    *,
    patience: float | None = None,
    progress: Progress = lambda _done, _total: None,
    clock: Callable[[], float] = time.monotonic,
) -> Matrix:
    """Return the matrix of a policy. What is not looked at after ``patience`` seconds is ``UNCLEAR``."""
    until = None if patience is None else clock() + patience
    return _Filling(policy, progress, lambda: until is not None and clock() > until).matrix()


class _Filling:
    def __init__(self, policy: Policy, progress: Progress, late: Callable[[], bool]) -> None:
        self._policy = policy
        self._progress = progress
        self._late = late
        self._bearing: dict[Hashable, tuple[Constraint, ...]] = {}
        self._steps: dict[Hashable, Step] = {}
        self._role_questions: dict[int, tuple[Question, ...] | None] = {}
        self._made = Outcomes()
        self._known: dict[object, Cell] = {}
        #: The known cells, by identity, with an example of a column's own names.
        self._for_names: dict[tuple[int, Column], Cell] = {}
        self._facts: dict[int, frozenset[Fact]] = {}
        #: As long as these are there, nothing else has their identities.
        self._kept: list[Step] = []
        self._roles: set[str] = set()
        self._service_roles: set[str] = set()

    def matrix(self) -> Matrix:
        columns = list(self._columns())
        self._roles = self._mentioned(columns, _ROLES)
        self._service_roles = self._mentioned(columns, _SERVICE_ROLES)
        rows = list(self._rows(columns))
        made = Matrix(rows, list(_places(VISIBILITIES)), columns)
        for number, column in enumerate(columns):
            self._progress(number, len(columns))
            cells = self._late_cells if self._late() else self._cells
            for row in rows:
                for place, cell in zip(made.places, cells(row, made.places, column), strict=True):
                    made.cells[row, place, column] = cell
        return _merged(made)

    # --- what there is ---

    def _columns(self) -> Iterator[Column]:
        found = topics(self._policy, made=self._made)
        anywhere = {topic.action: self._kinds_alike(topic) for topic in found if topic.kind == "Resource"}
        for topic in found:
            if topic.kind == "Property":
                if topic.action not in OPERATIONS or self._left_out(topic):
                    continue
                if topic.names is None and not topic.attribute:
                    yield from self._kinds_of_names(topic)
                else:
                    yield Column(f"{topic.action} {_names(topic)}", topic, (topic.kind,))
                continue
            # A rule about any resource is one column, not one for each type.
            alike = anywhere.get(topic.action, ())
            if topic.kind != "Resource" and topic.kind in alike:
                continue
            if topic.action is None and self._says_only(topic, Outcome.DENIED):
                continue
            action = topic.action or ANY_OTHER_ACTION
            kinds = alike if topic.kind == "Resource" else (topic.kind,)
            yield Column(action if topic.kind == "Image" else f"{action} ({kinds_named(kinds)})", topic, kinds)

    def _kinds_alike(self, topic: Topic) -> tuple[str, ...]:
        """Return the types of resources that an action is decided on as on those of this topic."""
        step = topic.step(self._policy, self._made)
        return tuple(
            kind
            for kind in WITH_ACTIONS
            if kind == topic.kind or replace(topic, kind=kind).step(self._policy, self._made) is step
        )

    def _says_only(self, topic: Topic, outcome: Outcome) -> bool:
        step = topic.step(self._policy, self._made)
        return isinstance(step, End) and step.outcome is outcome

    def _kinds_of_names(self, topic: Topic) -> Iterator[Column]:
        """Yield a column for each kind of names that the policy tells apart by patterns, in the order it asks them."""
        whole = Column(f"{topic.action} {_names(topic)}", topic, (topic.kind,))
        taken = CORE.union(*(one.values for one in topic.given if isinstance(one, Except) and one.fact == NAME))
        waiting: list[tuple[Step, tuple[tuple[Question, bool], ...]]] = [(topic.step(self._policy, self._made), ())]
        found: list[Column] = []
        while waiting:
            step, said = waiting.pop()
            asked = _pattern_asked(step)
            if asked is None or self._late():
                column = self._kind_of_names(topic, step, said, taken)
                found += [column] if column is not None else []
                if asked is not None:
                    found.append(replace(whole, doubt=_LATE))
                    break
                continue
            if len(found) + len(waiting) > MOST_KINDS_OF_NAMES:
                yield whole
                return
            for answer in (False, True):
                further = (*said, (asked, answer))
                # What no name fits needs no looking into.
                if not answer or self._example(further, taken) is not None:
                    waiting.append((self._restricted(step, asked, answer), further))
        yield from found

    def _kind_of_names(
        self, topic: Topic, step: Step, said: tuple[tuple[Question, bool], ...], taken: frozenset[str]
    ) -> Column | None:
        if not said:
            return Column(f"{topic.action} {_names(topic)}", topic, (topic.kind,))
        example = self._example(said, taken)
        if example is None:
            return None
        like = _like(said)
        label = f"{topic.action} {like or _names(topic)}"
        if isinstance(example, str) and example.endswith("\n") and example[:-1] in taken - CORE:
            # `^x$` fits a name with a line end as well, which is answered as `x` is: nobody wants to read it twice.
            named = topic_of(self._policy, "Property", str(topic.action), example[:-1])
            if named.step(self._policy, self._made) is step:
                return None
        if isinstance(example, CannotSay):
            return Column(label, topic, (topic.kind,), like, step, example.why)
        given: tuple[Constraint, ...] = (Among(NAME, frozenset((example,))),)
        if NAME in self._facts_in(step):
            given = (*topic.given, *said)
        return Column(label, replace(topic, given=given), (topic.kind,), like, step)

    def _example(self, said: Iterable[tuple[Question, bool]], taken: frozenset[str]) -> str | CannotSay | None:
        """Return a name that is answered so; None proves that there is none."""
        fits: dict[bool, list[Pattern]] = {True: [], False: []}
        for asked, answer in said:
            fits[answer].append((asked.operator, str(asked.operand)))
        return names(fits[True], fits[False], taken)

    def _restricted(self, root: Step, asked: Question, answer: bool) -> Step:
        """Return what is left of a graph where the answer to one question is known."""
        if isinstance(root, Fork) and root.question == asked:
            return root.yes if answer else root.no
        made: dict[int, Step] = {}
        for step in upwards(root):
            if isinstance(step, Fork):
                no, yes = made[id(step.no)], made[id(step.yes)]
                if step.question == asked:
                    made[id(step)] = yes if answer else no
                elif no is yes:
                    made[id(step)] = no
                elif no is step.no and yes is step.yes:
                    made[id(step)] = step
                else:
                    key: Hashable = (step.question, id(no), id(yes))
                    made[id(step)] = self._steps.setdefault(key, Fork(step.question, no, yes))
            elif isinstance(step, Choice):
                cases = {text: made[id(after)] for text, after in step.cases.items()}
                otherwise = made[id(step.otherwise)]
                if otherwise is step.otherwise and all(after is step.cases[text] for text, after in cases.items()):
                    made[id(step)] = step
                else:
                    key = (step.fact, id(otherwise), frozenset((text, id(after)) for text, after in cases.items()))
                    made[id(step)] = self._steps.setdefault(key, Choice(step.fact, cases, otherwise))
            else:
                made[id(step)] = step
        return made[id(root)]

    def _left_out(self, topic: Topic) -> bool:
        """Whether a class of properties says nothing: attributes once more, or words for actions that names are not."""
        if topic.names is None:
            return topic.attribute and self._says_only(topic, Outcome.ALLOWED)
        names = topic.names - (frozenset() if topic.attribute else CORE)
        if not names or names - {*OPERATIONS}:
            return not names
        other = topic_of(self._policy, "Property", str(topic.action))
        pair = topic.step(self._policy, self._made), other.step(self._policy, self._made)
        found = Search(topic, lambda ends: None if ends[0].outcome is ends[1].outcome else True).run(pair)
        return found.proven and not found.witnesses

    def _rows(self, columns: Sequence[Column]) -> Iterator[Row]:
        roles = self._roles
        if any(_AUTHENTICATED in self._facts_in(self._root(column)) for column in columns):
            yield Row("not authenticated", authenticated=False)
        yield Row(NO_ROLE)
        known = [role for role in _IMPLIED if role in roles]
        for role in [*known, *sorted(roles - set(known))]:
            implied = known[: known.index(role) + 1] if role in known else [role]
            yield Row(f"{_ROLE}{role}", frozenset(implied))
        for role in sorted(self._service_roles):
            yield Row(f"service role {role}", service_roles=frozenset((role,)))

    def _mentioned(self, columns: Sequence[Column], fact: Fact) -> set[str]:
        found: set[str] = set()
        for column in columns:
            for step in upwards(self._root(column)):
                if isinstance(step, Fork) and step.question.fact == fact and isinstance(step.question.operand, str):
                    found.add(step.question.operand)
        return found

    def _root(self, column: Column) -> Step:
        return column.step if column.step is not None else column.topic.step(self._policy, self._made)

    def _facts_in(self, root: Step) -> frozenset[Fact]:
        known = self._facts.get(id(root))
        if known is None:
            known = self._facts[id(root)] = frozenset(_facts(root))
            self._kept.append(root)
        return known

    # --- one cell ---

    def _late_cells(self, _row: Row, places: Sequence[Place], _column: Column) -> list[Cell]:
        return [Cell(Answer.UNCLEAR, _LATE)] * len(places)

    def _cells(self, row: Row, places: Sequence[Place], column: Column) -> list[Cell]:
        """Return the cells of one row, for each place: one for all where nothing depends on the image."""
        asked = {*self._facts_in(self._root(column)), *(fact for one in column.topic.given for fact in facts_of(one))}
        if all(fact in (NAME, IS_CORE) or (fact[0] != "resource" and fact != _TENANT) for fact in asked):
            return [self._cell(row, places[0], column)] * len(places)
        return [self._cell(row, place, column) for place in places]

    def _cell(self, row: Row, place: Place, column: Column) -> Cell:
        if column.doubt:
            return Cell(Answer.UNCLEAR, column.doubt)
        topic, root = column.topic, self._root(column)
        # Where the name is no longer asked about, names are answered alike that are so in everything else.
        alike = column.step is not None and NAME not in self._facts_in(root)
        relevant = self._relevant(row, place, topic, root, alike)
        key = (id(root), topic.kind if alike else topic, relevant)
        if key not in self._known:
            self._known[key] = self._decided(topic, root, (*relevant, *_usual(topic)))
        cell = self._known[key]
        if not alike:
            return cell
        named = (id(cell), column)
        if named not in self._for_names:
            self._for_names[named] = self._renamed(cell, topic)
        return self._for_names[named]

    def _relevant(self, row: Row, place: Place, topic: Topic, root: Step, alike: bool) -> tuple[Constraint, ...]:
        """Return what the row and the place say that bears on the answer."""
        # The name alone bears on nothing but itself.
        of_topic = () if alike else topic.given
        roles = self._asked_roles(root)
        held = tuple((one, one.operand in _held(row, one)) for one in roles or ())
        key = (held if roles is not None else row, row.authenticated, place, topic.kind, of_topic, id(root))
        if key not in self._bearing:
            given = (*self._subject(row, held if roles is not None else None), *_image(place, topic.kind))
            facts = {*self._facts_in(root), *(fact for one in of_topic for fact in facts_of(one))}
            bearing = linked((*given, *of_topic), facts)
            self._bearing[key] = tuple(one for one in given if one in bearing)
        return self._bearing[key]

    def _subject(self, row: Row, held: tuple[tuple[Question, bool], ...] | None) -> Iterator[Constraint]:
        """Yield what the row says of the subject; of its roles, ``held``, where nobody asks about others."""
        if held is None:
            yield from _subject(row, self._roles, self._service_roles)
        else:
            yield from held
            yield question(Operator.IS_TRUE, _AUTHENTICATED), row.authenticated

    def _asked_roles(self, root: Step) -> tuple[Question, ...] | None:
        """Return the roles that are asked about: having another says nothing of them. None where that is not so."""
        if id(root) not in self._role_questions:
            asked = {step.question for step in upwards(root) if isinstance(step, Fork)}
            roles = [one for one in asked if {_ROLES, _SERVICE_ROLES} & {holder(fact) for fact in one.facts()}]
            plain = all(one.operator is Operator.HAS_FOLDED and isinstance(one.operand, str) for one in roles)
            found = tuple(sorted(roles, key=lambda one: (one.fact, str(one.operand))))
            self._role_questions[id(root)] = found if plain else None
            self._kept.append(root)
        return self._role_questions[id(root)]

    def _renamed(self, cell: Cell, topic: Topic) -> Cell:
        """Return a cell whose example has a name that the topic is about."""
        [given] = topic.given
        if cell.query is None or not isinstance(given, Among) or not isinstance(cell.query.resource, Property):
            return cell
        resource = replace(cell.query.resource, name=min(given.values))
        query = cell.query._replace(action=str(topic.action), resource=resource)
        if query == cell.query:
            return cell
        allowed = outcome_of(self._policy, topic, query) is Outcome.ALLOWED
        if allowed is not (cell.answer in (Answer.YES, Answer.DEPENDS)) and cell.answer is not Answer.UNCLEAR:
            return Cell(Answer.UNCLEAR, "an example did not hold when it was decided")
        return replace(cell, query=query)

    def _found(self, topic: Topic, root: Step, given: tuple[Constraint, ...]) -> Found:
        """Return the outcomes that are possible, each with a witness that the policy has decided so."""
        found = Search(topic, lambda ends: ends[0].outcome).run((root,), given)
        unseen = found.witnesses.pop(Outcome.UNSEEN, None)
        if unseen is not None:
            found.doubt("a part of the policy has not been explored")
            found.witnesses.setdefault(outcome_of(self._policy, topic, unseen.query), unseen)
        for outcome, witness in list(found.witnesses.items()):
            if outcome_of(self._policy, topic, witness.query) is not outcome:
                del found.witnesses[outcome]
                found.doubt("an example did not hold when it was decided")
        return found

    def _decided(self, topic: Topic, root: Step, given: tuple[Constraint, ...]) -> Cell:
        if satisfy((*topic.given, *given), topic.kind, action=topic.action) is None:
            return Cell(Answer.NEVER)
        found = self._found(topic, root, given)
        yes = found.witnesses.get(Outcome.ALLOWED)
        other = found.witnesses.get(Outcome.DENIED) or found.witnesses.get(Outcome.DISCARDED)
        if not found.proven:
            witness = yes or other
            return Cell(Answer.UNCLEAR, found.doubts[0], witness.query if witness else None)
        if yes is None:
            return Cell(Answer.NO, query=other.query if other else None)
        if other is None:
            return Cell(Answer.YES, query=yes.query)
        return Cell(Answer.DEPENDS, self._condition(topic, root, given, yes), yes.query)

    def _condition(self, topic: Topic, root: Step, given: tuple[Constraint, ...], witness: Witness) -> str:
        """Return what must be so for a yes: conditions that are enough, and none of them idle."""
        known = {*given, *topic.given}
        needed = [one for one in witness.constraints if one not in known]
        for one in list(needed):
            rest = [other for other in needed if other is not one]
            found = self._found(topic, root, (*given, *rest))
            if found.proven and found.witnesses.keys() <= {Outcome.ALLOWED}:
                needed = rest
        return " and ".join(_words(one, topic.kind) for one in needed)


def _pattern_asked(root: Step) -> Question | None:
    """Return the first question of a graph whether a pattern fits the name; None where there is none."""
    if isinstance(root, End):
        return None
    if isinstance(root, Fork) and _is_pattern(root.question):
        return root.question
    last = None
    for step in upwards(root):
        if isinstance(step, Fork) and _is_pattern(step.question):
            last = step.question
    return last


def _is_pattern(asked: Question) -> bool:
    return asked.fact == NAME and asked.operator in (Operator.SEARCHES, Operator.MATCHES)


def _like(said: Iterable[tuple[Question, bool]]) -> str:
    """Say which names are meant: the patterns that fit, and those asked behind one that fits which do not."""
    parts: list[str] = []
    for asked, answer in said:
        if answer:
            parts.append(f"like {asked.operand}")
        elif parts:
            parts.append(f"not like {asked.operand}")
    return ", ".join(parts)


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


def implied(label: str) -> tuple[str, ...]:
    """Return the rows of the roles that the role of a row implies, the highest first."""
    role = label.removeprefix(_ROLE)
    below = _IMPLIED[: _IMPLIED.index(role)] if label.startswith(_ROLE) and role in _IMPLIED else ()
    return tuple(f"{_ROLE}{one}" for one in reversed(below))


def kinds_named(kinds: Sequence[str]) -> str:
    """Return types of resources as one word."""
    return "any resource" if {*WITH_ACTIONS} <= set(kinds) else "/".join(kinds)


def kinds_of(named: str) -> tuple[str, ...]:
    """Return the types of resources that ``kinds_named`` has put into a word."""
    return WITH_ACTIONS if named == "any resource" else tuple(named.split("/"))


def _names(topic: Topic) -> str:
    if topic.names is None:
        return "any other attribute" if topic.attribute else "any other property"
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


def _held(row: Row, asked: Question) -> frozenset[str]:
    return row.roles if asked.fact == _ROLES else row.service_roles


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
