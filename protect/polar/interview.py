"""The interview: Oso is asked about facades, path by path, until the whole decision graph is known.

Polar's answer depends on nothing but the answers to the questions that the facades pass on. So a path is explored by
answering every new question with no; then each of these is turned to yes in turn, and what follows is explored alike.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from oso import Oso
from polar.exceptions import OsoError
from polar.ffi import PolarSource, ffi, ffi_serialize, lib, process_messages  # type: ignore[attr-defined]
from polar.host import Host
from polar.predicate import Predicate
from polar.query import Query as PolarQuery

from protect.polar.facades import FACADES, FactFacade, ObjectFacade, VocabularyError, context, resource, subject
from protect.polar.marks import MARK, RESOURCE_ALIAS
from protect.policy.graph import Builder, Node, Switch, Test, every
from protect.policy.growth import renew_after_fork
from protect.policy.questions import Operator, Question, asker, same
from protect.policy.vocabulary import CONTEXT, RESOURCES, TYPES, Fact, Scalar
from protect.values import Query

#: How long one path may take before the policy counts as one that never ends. A path of the shipped rules takes a
#: fraction of a millisecond; only Oso's own clock can stop Oso.
MOST_PATH_SECONDS = 5.0
#: What Oso calls it.
TIMEOUT = "Query timeout"
#: How often a path that ran out of time without having used it is tried again.
PATIENCE = 5

#: What most questions come to, as Oso reads it.
_WRITTEN = {answer: ffi_serialize({"value": {"Boolean": answer}}) for answer in (False, True)}

_oso_lock = threading.RLock()


def _new_lock() -> None:
    global _oso_lock
    _oso_lock = threading.RLock()


os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True, slots=True)
class Topic:
    """What one graph is about: an entry point asked for one action, on one type of resource, and one property name.

    ``references`` says which texts are stand-ins for facts of the query: a name or an action that the policy does not
    mention, or one that stands for a class of interchangeable ones. ``rules`` is how many rules may answer.
    """

    entry: str
    action: str
    kind: str
    name: str = ""
    references: Mapping[str, Fact] = field(default_factory=dict)
    rules: int = 1

    def cost(self) -> int:
        """Return what one path costs besides its answers, in answers: Oso's time grows as the square of the rules."""
        return 5 + self.rules * self.rules // 250

    def key(self) -> tuple[str, ...]:
        """Return what tells this topic from all others of one policy."""
        return self.entry, self.kind, self.action, self.name


class Twins(Protocol):
    """Which texts the policy treats alike; see ``mentions``."""

    def twin(self, text: str) -> object:
        """Return the class of a text."""

    def speaks_of(self, text: str, twins: object) -> bool:
        """Whether a text in a graph is one of a class."""


class Budget:
    """How many questions may still be answered while compiling; none any more once ``over`` says so."""

    def __init__(self, answers: int, over: Callable[[], bool]) -> None:
        self.left = answers
        self._over = over

    def spend(self, answers: int) -> None:
        """Take from the budget."""
        self.left = 0 if self._over() else max(0, self.left - answers)


@dataclass(frozen=True, slots=True)
class Path:
    """One way through the policy: what was asked in order, with the answers, and how it ended.

    ``switches`` are those that it passed; only ``lint.spare`` writes any into a policy.
    """

    asked: tuple[tuple[Question, bool], ...]
    holds: bool
    rule: int | None
    switches: frozenset[int]


class _Host(Host):
    """Oso's view of the facades: nothing but a facade of the right type matches a type of the vocabulary."""

    mark: _Mark

    def copy(self) -> _Host:
        host = super().copy()
        assert isinstance(host, _Host)
        host.mark = self.mark
        return host

    def isa(self, instance: Any, class_tag: str) -> bool:
        value = self.to_python(instance)  # type: ignore[no-untyped-call]
        if isinstance(value, FactFacade):
            raise VocabularyError(f"a fact is no `{class_tag}`: compare it with a value", class_tag)
        return isinstance(value, self.get_class(class_tag))  # type: ignore[no-untyped-call]


#: Who handles which of Oso's events.
_HANDLERS: Mapping[str, str] = {
    "ExternalCall": "handle_external_call",
    "ExternalOp": "handle_external_op",
    "ExternalIsa": "handle_external_isa",
    "ExternalIsaWithPath": "handle_external_isa_with_path",
    "ExternalIsSubSpecializer": "handle_external_is_subspecializer",
    "ExternalIsSubclass": "handle_external_is_subclass",
    "MakeExternal": "handle_make_external",
    "NextExternal": "handle_next_external",
    "Debug": "handle_debug",
}


class _InterviewQuery(PolarQuery):
    """A Polar query that can reach facades and nothing else of Python."""

    def holds(self) -> bool:
        """Whether there is a result. Does what ``run`` does, in half the time."""
        query = self.ffi_query
        while True:
            # As its ``next_event``, but what a query would print stays unread: it goes when the query does.
            event = query.check_result(lib.polar_next_query_event(query.ptr))
            [(kind, data)] = orjson.loads(ffi.string(event)).items()
            lib.string_free(event)
            if kind in ("Done", "Result"):
                return bool(kind == "Result")
            getattr(self, _HANDLERS[kind])(data)

    def handle_external_call(self, data: Any) -> None:
        instance = self.host.to_python(data["instance"])
        word = str(data["attribute"])
        if instance is not self.host.mark:
            if not isinstance(instance, ObjectFacade | FactFacade):
                raise VocabularyError(f"only the subject, the resource and `{CONTEXT}` have attributes", word)
            if word.startswith("_"):
                raise VocabularyError(f"`{word}` is not in the vocabulary", word)
        found = getattr(instance, word)
        if data["args"] is not None:
            if not callable(found):
                raise VocabularyError(f"`{word}` is a fact and cannot be called", word)
            keywords = {name: self.host.to_python(value) for name, value in (data["kwargs"] or {}).items()}
            found = found(*map(self.host.to_python, data["args"]), **keywords)
        answer = _WRITTEN[found] if isinstance(found, bool) else ffi_serialize(self.host.to_polar(found))
        self.ffi_query.check_result(lib.polar_call_result(self.ffi_query.ptr, data["call_id"], answer))

    def handle_make_external(self, data: Any) -> None:
        raise VocabularyError("`new` makes objects; rules only ask", "new")

    def handle_next_external(self, data: Any) -> None:
        raise VocabularyError("the right side of `in` must be a list written in the policy", "in")

    def handle_debug(self, data: Any) -> None:
        raise VocabularyError("`debug` stops the service to wait for a terminal", "debug")


class _Mark:
    """What is called by the marks that were written into the rules."""

    def __init__(self) -> None:
        #: The last rule that was called before a result: it decided.
        self.rule: int | None = None
        #: The switch that is off, and all that were passed.
        self.off: int | None = None
        self.passed: set[int] = set()

    def decided(self, rule: int) -> bool:
        self.rule = rule
        return True

    def switch(self, number: int) -> bool:
        self.passed.add(number)
        return number != self.off


class Interviewer:
    """One loaded policy, ready to be asked. Not for threads: hold ``lock`` around calls.

    Constructing raises what Oso raises about the text: an ``OsoError``. ``path_seconds`` is how long Oso may take for
    one path while exploring; a real query gets MOST_PATH_SECONDS.
    """

    def __init__(self, text: str, path_seconds: float = MOST_PATH_SECONDS) -> None:
        self.path_seconds = path_seconds
        self.lock = threading.Lock()
        renew_after_fork(self, "lock")
        self._references: Mapping[str, Fact] = {}
        self._literal_name = False
        #: Whether any path of the last graph depended on the property's name.
        self.name_read = False
        self._known: dict[Question, bool] = {}
        self._equal: dict[Fact, Scalar] = {}
        self._asked: list[tuple[Question, bool]] = []
        #: How often Polar has asked on this path, known answers and all: that is what time goes into.
        self._answers = 0
        self._reply: Callable[[Question], bool] = _no
        self._mark = _Mark()
        self._oso = Oso()
        self._oso.ffi_polar.process_messages = _discard_messages(self._oso.ffi_polar)  # type: ignore[method-assign]
        host = _Host(  # type: ignore[no-untyped-call]
            self._oso.ffi_polar, self._oso.host.types, self._oso.host.instances
        )
        host.mark = self._mark
        self._oso.host = host
        self._oso.ffi_polar.set_message_enricher(lambda message: message)
        for name in TYPES:
            if name != "Context":
                alias = RESOURCE_ALIAS if name == "Resource" else name
                self._oso.register_class(FACADES[name], name=alias)
        self._oso.register_constant(self._mark, MARK)
        self._oso.register_constant(context(self), CONTEXT)
        self._subject = subject(self)
        self._resources = {kind: resource(self, kind) for kind in RESOURCES}
        with _bounded(MOST_PATH_SECONDS):
            # Oso counts error positions in characters up to a byte offset, and aborts the process when the bytes
            # run past the characters: as many line ends as there are extra bytes make every offset valid.
            self._oso.ffi_polar.load([PolarSource(text + "\n" * (len(text.encode()) - len(text)))])
            self._oso.check_inline_queries()

    @property
    def references(self) -> Mapping[str, Fact]:
        """See ``facades.Interview``."""
        return self._references

    @property
    def literal_name(self) -> bool:
        """See ``facades.Interview``."""
        return self._literal_name

    def name_was_read(self) -> None:
        """See ``facades.Interview``."""
        self.name_read = True

    def answer(self, asked: Question) -> bool:
        """Answer from what this path already knows, else ask the one who explores."""
        self._answers += 1
        known = self._known.get(asked)
        if known is not None:
            return known
        literal = asked.operand
        equality = asked.operator is Operator.EQUALS and isinstance(literal, str | int | float)
        if equality and asked.fact in self._equal:
            return same(self._equal[asked.fact], literal)
        answer = self._reply(asked)
        self._learn(asked, answer)
        self._asked.append((asked, answer))
        return answer

    def _learn(self, asked: Question, answer: bool) -> None:
        self._known[asked] = answer
        literal = asked.operand
        if answer and asked.operator is Operator.EQUALS and isinstance(literal, str | int | float):
            self._equal[asked.fact] = literal

    def path(
        self, topic: Topic, given: Sequence[tuple[Question, bool]] = (), reply: Callable[[Question], bool] | None = None
    ) -> Path:
        """Ask Oso once, answering ``given`` as given and anything else by ``reply`` (default: no)."""
        for _ in range(PATIENCE):
            begun = time.thread_time()
            try:
                return self._path(topic, given, reply)
            except OsoError as error:
                # Oso's clock is the one on the wall. Whoever has hardly computed meanwhile was kept from it: by a
                # machine that is busy or was asleep, or by a fact that took its time.
                hurried = self.path_seconds < MOST_PATH_SECONDS and reply is None
                if hurried or TIMEOUT not in str(error) or time.thread_time() - begun > MOST_PATH_SECONDS / 2:
                    raise
        return self._path(topic, given, reply)

    def _path(
        self, topic: Topic, given: Sequence[tuple[Question, bool]], reply: Callable[[Question], bool] | None
    ) -> Path:
        self._references = topic.references
        self._literal_name = topic.kind == "Property" and topic.name not in topic.references
        self._known, self._equal, self._asked = {}, {}, []
        self._answers = 0
        self._reply = reply or _no
        self._mark.rule = None
        self._mark.passed.clear()
        for asked, answer in given:
            self._learn(asked, answer)
        facade = self._resources[topic.kind]
        if topic.kind == "Property":
            facade = resource(self, "Property", topic.name)
        holds = self._query(topic.entry, self._subject, topic.action, facade)
        rule = self._mark.rule if holds else None
        return Path((*given, *self._asked), holds, rule, frozenset(self._mark.passed))

    def _query(self, entry: str, *arguments: object) -> bool:
        host = self._oso.host.copy()
        term = host.to_polar(Predicate(name=entry, args=arguments))
        query = self._oso.ffi_polar.new_query_from_term(term)
        return _InterviewQuery(query, host=host).holds()  # type: ignore[no-untyped-call]

    def explore(self, topic: Topic, builder: Builder, budget: Budget, twins: Twins) -> Node:
        """Return the graph of ``topic``; branches beyond ``budget`` end in unexplored leaves.

        Of ``twins``, one is explored for all, which keeps a list of a thousand tenants as cheap as one. Raises
        VocabularyError or OsoError for a path that cannot be evaluated.
        """
        self.name_read = False
        with _bounded(self.path_seconds):
            return self._explore(topic, (), builder, budget, twins)

    def _explore(
        self,
        topic: Topic,
        given: tuple[tuple[Question, bool], ...],
        builder: Builder,
        budget: Budget,
        twins: Twins,
    ) -> Node:
        if budget.left == 0:
            return builder.unexplored(topic.key())
        path = self.path(topic, given)
        budget.spend(topic.cost() + self._answers)
        node: Node = builder.leaf(path.holds, path.rule)
        for start, stop in reversed(list(_runs(path.asked, len(given)))):
            cases: dict[str, Node] = {}
            explored: dict[object, Node] = {}
            said = _said(path.asked[:start]) if stop - start > 1 else {}
            for index in range(start, stop):
                asked, _ = path.asked[index]
                group = _twins_of(asked, topic, twins)
                # What the path has said of a text tells it from its twins: alike are those of which it said the same.
                alike = (group, _notes(said, str(asked.operand)))
                yes = explored.get(alike) if group is not None else None
                if yes is None:
                    yes = self._explore(topic, (*path.asked[:index], (asked, True)), builder, budget, twins)
                    if group is not None and not any(twins.speaks_of(text, group) for text in texts(yes)):
                        explored[alike] = yes
                if stop - start == 1:
                    node = builder.test(asked, node, yes)
                else:
                    cases[str(asked.operand)] = yes
            if cases:
                node = builder.run(path.asked[start][0].fact, cases, node)
        return node

    def grow(self, topic: Topic, query: Query, off: int | None = None) -> Path:
        """Ask Oso about one real query: the path is answered from its facts. Raises what reading a fact raises.

        ``off`` is a switch in the rules that does not let it pass.
        """
        self._mark.off = off
        with _bounded(MOST_PATH_SECONDS):
            return self.path(topic, (), lambda asked: asker(asked)(query))


def _runs(asked: Sequence[tuple[Question, bool]], start: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of new questions that become one node: runs of equalities of one fact with text."""
    while start < len(asked):
        stop = start + 1
        while stop < len(asked) and _one_run(asked[start][0], asked[stop][0]):
            stop += 1
        yield start, stop
        start = stop


def _one_run(first: Question, second: Question) -> bool:
    return (
        first.operator is second.operator is Operator.EQUALS
        and first.fact == second.fact
        and isinstance(first.operand, str)
        and isinstance(second.operand, str)
    )


def _twins_of(asked: Question, topic: Topic, twins: Twins) -> object:
    """Return the class of texts for which this question is asked alike; None where it stands alone."""
    literal = asked.operand
    if not isinstance(literal, str) or literal in (topic.action, topic.name):
        # The topic's own texts meet others inside Polar, without a question: swapping them changes the topic.
        return None
    return twins.twin(literal)


def _said(path: Sequence[tuple[Question, bool]]) -> dict[str, frozenset[object]]:
    """Return what a path says of each text: its questions and answers, with a blank in place of the text.

    Swapping two texts of which the same is said leaves the path as it is.
    """
    said: dict[str, set[object]] = {}
    for asked, answer in path:
        parts = [asked.operator, *asked.facts(), asked.operand if isinstance(asked.operand, str) else "", asked.status]
        for word in _words(asked):
            said.setdefault(word, set()).add((str(_blanked(parts, word)), answer))
    return {word: frozenset(notes) for word, notes in said.items()}


def _blanked(parts: Iterable[object], word: str) -> list[object]:
    return [[*_blanked(part, word)] if isinstance(part, tuple) else ("*",) if part == word else part for part in parts]


def _notes(said: Mapping[str, frozenset[object]], text: str) -> frozenset[object]:
    # A role is asked for in lower case, by whatever spelling the policy has.
    nothing: frozenset[object] = frozenset()
    return said.get(text, nothing) | said.get(text.lower(), nothing)


def _words(asked: Question) -> Iterator[str]:
    yield from (word for word in (asked.operand, asked.status) if isinstance(word, str))
    for fact in asked.facts():
        yield from _keys(fact)


def texts(*roots: Node) -> Iterator[str]:
    """Yield every text of the policy that the graphs speak of: what is compared with, and the keys of ``get``."""
    for inner in every(*roots):
        if isinstance(inner, Switch):
            yield from inner.branches
            yield from _keys(inner.fact)
        elif isinstance(inner, Test):
            yield from _words(inner.question)


def _keys(fact: Fact) -> Iterator[str]:
    if "get" in fact[-2:-1]:
        yield fact[-1]


def _no(asked: Question) -> bool:
    return False


def _discard_messages(handle: Any) -> Callable[[], None]:
    """Oso prints warnings to standard output; the checker has found what they say already, so they are dropped."""

    def discard() -> None:
        for _ in process_messages(handle.next_message):
            pass

    return discard


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Bound the time of each Polar query started inside. Oso reads its limit from the environment of the process."""
    with _oso_lock:
        before = os.environ.get("POLAR_TIMEOUT_MS")
        os.environ["POLAR_TIMEOUT_MS"] = str(max(1, int(seconds * 1000)))
        try:
            yield
        finally:
            if before is None:
                with suppress(KeyError):
                    del os.environ["POLAR_TIMEOUT_MS"]
            else:
                os.environ["POLAR_TIMEOUT_MS"] = before
