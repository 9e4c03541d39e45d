"""The compiler: Polar text in, a policy of decision graphs out. The only one who starts an interview."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from polar.exceptions import OsoError

from protect.errors import PolicyError, Problem
from protect.polar.check import BLOCK_RULES, ENTRY_POINTS, allows, problems
from protect.polar.explored import Explored
from protect.polar.facades import VocabularyError
from protect.polar.heads import Heads, Tried
from protect.polar.interview import MOST_PATH_SECONDS, TIMEOUT, Budget, Interviewer, Topic, texts
from protect.polar.mentions import mentions
from protect.polar.parser import parse
from protect.polar.source import Source
from protect.polar.syntax import (
    Block,
    Dot,
    Operation,
    Pattern,
    Rule,
    Span,
    Statement,
    calls,
    reached,
    rules_by_name,
    walk,
)
from protect.policy.graph import NO, Builder, Leaf, Node, every
from protect.policy.growth import Answered, Counts, PathTree
from protect.policy.policy import ByName, Graphs, Policy, Table
from protect.policy.vocabulary import ACTION, NAME, RESOURCES, Fact
from protect.values import Query

#: How many questions may be answered while compiling, over all graphs, and for one. An answer costs some 20
#: microseconds. What lies beyond grows on demand, with the same answers.
BUDGET = 100_000
BUDGET_PER_GRAPH = 20_000

#: After how many seconds the budget counts as used up, whatever is left of it: what one answer costs is Oso's affair.
MOST_SECONDS = 10.0

#: How many questions of paths found on demand are remembered, over all graphs.
ROOM = 500_000

_PLACE = re.compile(r" at line (\d+), column (\d+)")
_ENDLESS = (TIMEOUT, "Goal stack overflow", "overflow")

_Found = TypeVar("_Found", Graphs, ByName)
References = Mapping[str, Fact]


def compile_policy(
    files: Sequence[tuple[str, str]],
    revision: str,
    *,
    beside: bool = False,
    seconds: float = MOST_SECONDS,
    explored: Explored | None = None,
) -> Policy:
    """Compile ``(file name, text)`` pairs. Raises PolicyError, which lists every problem found.

    ``beside``: protection files stand beside these. Then they need no `allow` rule, and without one the table says that
    actions are left to the API. What is not explored after ``seconds`` grows on demand. ``explored`` are graphs of
    policies that were compiled before; those of this one join them.
    """
    try:
        return _compiled(files, revision, beside, seconds, explored)
    except RecursionError:
        raise PolicyError([Problem(files[0][0], 0, 0, "nested too deeply", "split the condition into rules")]) from None


def _compiled(
    files: Sequence[tuple[str, str]], revision: str, beside: bool, seconds: float, explored: Explored | None
) -> Policy:
    statements, found = _parse(files)
    found += problems(statements, files[0][0], complete=not found, beside=beside)
    if found:
        order = {name: index for index, (name, _) in enumerate(files)}
        raise PolicyError(sorted(found, key=lambda one: (order.get(one.file, -1), one.line, one.column)))
    policy = _Compilation(files, statements, seconds, explored).policy(revision)
    policy.table.leaves_actions = not allows(statements)
    return policy


def _parse(files: Sequence[tuple[str, str]]) -> tuple[list[Statement], list[Problem]]:
    statements: list[Statement] = []
    found: list[Problem] = []
    seen: set[str] = set()
    for file, text in files:
        if text in seen:
            continue  # the same text under two names says nothing new
        seen.add(text)
        parsed, mistakes = parse(text, file)
        statements += parsed
        found += mistakes
    return statements, found


class _Compilation:
    """The work on one policy. Its interviewer lives on only where a graph is not complete."""

    def __init__(
        self,
        files: Sequence[tuple[str, str]],
        statements: Sequence[Statement],
        seconds: float,
        explored: Explored | None,
    ) -> None:
        self._statements = statements
        self._texts = dict(files)
        self._common = explored
        self._meanings: dict[tuple[str, tuple[int, ...]], tuple[object, Sequence[int]]] = {}
        self._digests: dict[frozenset[str], bytes] = {}
        self._ours = [one for one in statements if isinstance(one, Rule) and one.name in ENTRY_POINTS]
        self._mentions = mentions(statements)
        self._named = rules_by_name(statements)
        self._heads = {name: Heads(self._named.get(name, ())) for name in ENTRY_POINTS}
        self._source = Source(self._texts, statements)
        self._builder = Builder()
        deadline = time.monotonic() + seconds
        self._over = lambda: time.monotonic() > deadline
        self._budget = Budget(BUDGET, self._over)
        self._unexplored: dict[Leaf, Topic] = {}
        self._explored: dict[object, tuple[Node, bool]] = {}
        #: Whether any graph since this was last cleared depends on the property's name.
        self._name_read = False
        self._other_name = self._unmentioned("\ue000name")
        self._other_action = self._unmentioned("\ue000action")
        try:
            self._interviewer = Interviewer(self._source.text, min(MOST_PATH_SECONDS, seconds))
        except (OsoError, VocabularyError) as error:
            raise PolicyError([self._problem(error)]) from None

    def _unmentioned(self, text: str) -> str:
        while text in self._mentions:
            text += "_"
        return text

    def policy(self, revision: str) -> Policy:
        """Interview for every topic. Raises PolicyError for a path that cannot be evaluated."""
        table = Table()
        for kind in RESOURCES:
            if kind != "Property":
                self._actions(table, kind)
        self._properties(table)
        counts = Counts(ROOM)
        policy = Policy(table, revision=revision, rules=self._source.rules, growth=counts)
        for leaf, topic in self._unexplored.items():
            leaf.growth = PathTree(self._asker(topic, policy), counts)
        return policy

    def _actions(self, table: Table, kind: str) -> None:
        def explore(action: str, references: References) -> Graphs:
            return self._graphs(kind, action, "", references)

        table.other[kind] = other = explore(self._other_action, {self._other_action: ACTION})
        for action, graphs in self._each(self._mentions.actions, ACTION, explore):
            if graphs.roots() != other.roots():
                table.actions[kind, action] = graphs

    def _properties(self, table: Table) -> None:
        def explore(action: str, references: References) -> ByName:
            return self._by_name(action, references)

        table.other_properties = other = explore(self._other_action, {self._other_action: ACTION})
        for action, by_name in self._each(self._mentions.actions, ACTION, explore):
            if not _alike(by_name, other):
                table.properties[action] = by_name

    def _by_name(self, action: str, references: References) -> ByName:
        """Return the graphs of one action on properties, for every name that the policy tells apart."""
        self._name_read = False
        name = self._other_name
        other = self._graphs("Property", action, name, {**references, name: NAME})
        by_name = ByName(other)
        if not self._name_read and not _is_open([other]):
            return by_name  # no path depends on the name
        # A name equal to the action is a case of its own only where the two can meet, or both meet this text.
        meets = self._mentions.crossing or action in self._mentions.names
        if references and meets:
            by_name.same = self._graphs("Property", action, action, {action: NAME})

        def explore(name: str, more: References) -> Graphs:
            return self._graphs("Property", action, name, {**references, **more})

        # A name that is the action is no twin of another name.
        for name, graphs in self._each(self._mentions.names - {action}, NAME, explore):
            if graphs.roots() != other.roots():
                by_name.names[name] = graphs
                if references and self._mentions.twin(name) == self._mentions.twin(action):
                    # The action stands for its twins as well: what holds for one of them as a name holds for it.
                    by_name.names[action] = graphs
        if meets and not references:
            by_name.names[action] = explore(action, {})
        return by_name

    def _each(
        self, mentioned: Iterable[str], fact: Fact, explore: Callable[[str, References], _Found]
    ) -> Iterator[tuple[str, _Found]]:
        """Yield what ``explore`` finds for each text: once for a class of twins, where that speaks for all of them."""
        for group in self._mentions.classes(mentioned):
            shared = self._shared(group[0], fact, explore) if len(group) > 1 else None
            yield from ((text, explore(text, {}) if shared is None else shared) for text in group)

    def _shared(self, text: str, fact: Fact, explore: Callable[[str, References], _Found]) -> _Found | None:
        """Return what holds for all twins of ``text``; None where they have to be explored one by one."""
        try:
            found = explore(text, {text: fact})
        except PolicyError:
            return None  # perhaps only because the text stands for many
        twins = self._mentions.twin(text)
        nodes = [root for graphs in found.all() for root in graphs.roots()]
        if _is_open(found.all()) or any(self._mentions.speaks_of(word, twins) for word in texts(*nodes)):
            return None
        return found

    def _graphs(self, kind: str, action: str, name: str, references: References) -> Graphs:
        found: dict[str, Node] = {}
        for entry in ("forbid", "allow", "discard"):
            tried = self._heads[entry].tried(action, kind)
            if tried.may_hold:
                found[entry] = self._graph(Topic(entry, action, kind, name, references, tried.count), tried)
        return Graphs(**found)

    def _graph(self, topic: Topic, tried: Tried) -> Node:
        """Return the graph of ``topic``, explored once for all that come to the same. Oso tries the rules ``tried``."""
        key = self._what_is_read(topic, tried)
        if key not in self._explored:
            self._explored[key] = self._in_common(topic, tried, key)
        node, name_read = self._explored[key]
        self._name_read = self._name_read or name_read
        return node

    def _in_common(self, topic: Topic, tried: Tried, key: tuple[object, ...]) -> tuple[Node, bool]:
        """Return the graph of ``topic``, and whether it reads the property's name; known from another policy, or new.

        ``key`` is what it depends on in this policy: the entry point, the numbers of rules, and more.
        """
        if self._common is None:
            return self._explore(topic), self._interviewer.name_read
        meaning, rules = self._meaning(topic.entry, tried.read)
        common = (meaning, *key[2:])
        known = self._common.recall(common, rules, self._builder)
        if known is None:
            known = self._explore(topic), self._interviewer.name_read
            self._common.remember(common, known[0], rules, known[1])
        return known

    def _meaning(self, entry: str, read: tuple[int, ...]) -> tuple[object, Sequence[int]]:
        """Return what tells some rules of an entry point from others, and their numbers among all entry points' rules.

        It is a hash of their texts, of those of all that they come to, and of what is no rule.
        """
        known = self._meanings.get((entry, read))
        if known is None:
            numbers = [self._numbers[entry][one] for one in read]
            rules = [self._ours[one] for one in numbers]
            names = frozenset(reached([*calls(rules), *self._asked_by_blocks], self._named))
            if names not in self._digests:
                more = (rule for name in sorted(names) for rule in self._named.get(name, ()))
                self._digests[names] = self._digest([*self._no_rules, *more])
            known = self._meanings[entry, read] = (entry, self._digest(rules), self._digests[names]), numbers
        return known

    def _digest(self, statements: Iterable[Statement]) -> bytes:
        digest = hashlib.sha256()
        for statement in statements:
            span = statement.span
            text = self._texts[span.file][span.start : span.end].encode("utf-8", "surrogatepass")
            digest.update(b"%d " % len(text) + text)
        return digest.digest()

    @cached_property
    def _numbers(self) -> Mapping[str, Sequence[int]]:
        """The rules of each entry point, by their numbers among those of all."""
        numbered = list(enumerate(self._ours))
        return {name: [number for number, rule in numbered if rule.name == name] for name in ENTRY_POINTS}

    @cached_property
    def _no_rules(self) -> Sequence[Statement]:
        return [statement for statement in self._statements if not isinstance(statement, Rule)]

    @cached_property
    def _asked_by_blocks(self) -> Collection[str]:
        """The names that rules may come to without a word of it: Polar makes rules of blocks, which ask for others."""
        return BLOCK_RULES if any(isinstance(one, Block) for one in self._no_rules) else ()

    def _what_is_read(self, topic: Topic, tried: Tried) -> tuple[object, ...]:
        """Return what a graph depends on: equal for topics that Oso would answer alike."""
        action = topic.action if tried.reads_action else None
        resource = (topic.kind, topic.name) if tried.reads_resource else None
        # A text that stands for a fact does so wherever it occurs; those of our own making occur nowhere else.
        unread = {self._other_action if action is None else None, self._other_name if resource is None else None}
        references = frozenset(pair for pair in topic.references.items() if pair[0] not in unread)
        return topic.entry, tried.read, action, resource, references

    def _explore(self, topic: Topic) -> Node:
        before = min(BUDGET_PER_GRAPH, self._budget.left)
        allowance = Budget(before, self._over)
        try:
            node = self._interviewer.explore(topic, self._builder, allowance, self._mentions)
        except (OsoError, VocabularyError) as error:
            if not self._out_of_patience(error):
                raise PolicyError([self._problem(error)]) from None
            node = self._builder.unexplored(topic.key())
        self._budget.spend(before - allowance.left)
        for inner in every(node):
            if isinstance(inner, Leaf) and not inner.explored:
                self._unexplored[inner] = topic
        return node

    def _out_of_patience(self, error: Exception) -> bool:
        """Whether Oso might have answered in the time that a path may take where nobody is in a hurry."""
        hurried = self._interviewer.path_seconds < MOST_PATH_SECONDS
        return hurried and TIMEOUT in str(error) and _recursive(self._statements) is None

    def _asker(self, topic: Topic, policy: Policy) -> Callable[[Query], Answered]:
        interviewer, builder = self._interviewer, self._builder

        def ask(query: Query) -> Answered:
            with interviewer.lock:
                path = interviewer.grow(topic, query)
                return path.asked, policy.settle(builder.leaf(path.holds, path.rule), topic.entry)

        return ask

    def _problem(self, error: OsoError | VocabularyError) -> Problem:
        """Say what Oso or a facade found as a problem of the text."""
        if isinstance(error, VocabularyError):
            span = next(_uses(self._statements, error.word), None)
            return _at(span or _first(self._statements), str(error), error.help)
        message = str(error)
        if any(sign in message for sign in _ENDLESS):
            rule = _recursive(self._statements)
            if rule is None:
                slow = f"longer than {MOST_PATH_SECONDS:.0f} seconds"
                return _at(
                    _first(self._statements),
                    f"one question takes {slow if TIMEOUT in message else 'more room than Oso has'} to answer",
                    "write facts in place of rules that differ in a text, and one rule over them",
                )
            return _at(
                rule.name_span,
                "this policy can only be evaluated by running forever",
                "a rule must not come back to itself with the same question",
            )
        place = _PLACE.search(message)
        statement = self._source.statement_at(int(place[1]), int(place[2])) if place else None
        text = _PLACE.split(message)[0].strip().split("\n")[0]
        return _at(
            statement.span if statement else _first(self._statements), f"Polar refuses this: {text.rstrip('.:')}"
        )


def _alike(left: ByName, right: ByName) -> bool:
    # Name by name: the two may have met them in different orders.
    if left.names.keys() != right.names.keys() or (left.same is None) != (right.same is None):
        return False
    pairs = [(graphs, right.names[name]) for name, graphs in left.names.items()]
    if left.same is not None and right.same is not None:
        pairs.append((left.same, right.same))
    return all(one.roots() == other.roots() for one, other in [(left.other, right.other), *pairs])


def _is_open(found: Iterable[Graphs]) -> bool:
    """Whether a graph has a leaf that nobody has explored."""
    roots = (root for graphs in found for root in graphs.roots() if root is not NO)
    return any(isinstance(node, Leaf) and not node.explored for node in every(*roots))


def _first(statements: Sequence[Statement]) -> Span:
    return statements[0].span if statements else Span("policy", 0, 0, 0, 0)


def _at(span: Span, message: str, help: str = "") -> Problem:
    return Problem(span.file, span.line, span.column, message, help)


def _uses(statements: Iterable[Statement], word: str) -> Iterator[Span]:
    """Yield the places where a rule reaches for ``word``."""
    for statement in statements:
        for term in walk(statement):
            if isinstance(term, Dot) and term.attribute == word:
                yield term.attribute_span
            elif isinstance(term, Operation) and term.operator == word:
                yield term.span
            elif isinstance(term, Pattern) and term.name == word:
                yield term.name_span


def _recursive(statements: Sequence[Statement]) -> Rule | None:
    """Return a rule that comes back to itself, if any does."""
    rules = rules_by_name(statements)
    return next((same[0] for name, same in rules.items() if name in reached(calls(same), rules)), None)
