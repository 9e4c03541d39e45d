"""Parts of rules that could be spared: without one, every query is decided as it is with it.

Each part gets a switch, and the policy is asked about a query for each way
through its graphs: with everything, and with each part off that has a say there. Most parts are soon seen to matter.
What is left is proven, or not, by comparing the whole policy with the one that lacks the part.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import islice
from typing import Any, Final

from protect.analysis.compare import compare
from protect.analysis.topics import topics
from protect.analysis.walking import OUT_OF_TIME, Found, Path, paths
from protect.errors import PolicyError
from protect.lint.compiled import NoCompiler
from protect.lint.polar_files import PolarFiles
from protect.polar.check import ENTRY_POINTS
from protect.polar.heads import head_of
from protect.polar.marks import MARK
from protect.polar.parser import parse
from protect.polar.source import Source
from protect.polar.syntax import Call, Operation, Rule, Span, Statement, Term, calls, reached, walk
from protect.policy.graph import Leaf, every
from protect.policy.policy import Policy
from protect.values import Query

#: How many ways through the graphs of one topic are tried.
MOST_WAYS: Final = 40
#: How much Oso may be asked, in about 20 microseconds. What was not tried by then is not judged.
MOST_WORK: Final = 25_000
#: For how many parts it is proven that they can be spared: each proof takes compiling the policy again.
MOST_PROVEN: Final = 4

#: How long one of these proofs may take.
SECONDS: Final = 1.0

_NEVER: Final = "1 = 2"


@dataclass(frozen=True, slots=True)
class Part:
    """A whole rule, or one alternative of an ``or`` in it. ``others`` say instead of it what it says."""

    rule: Rule
    term: Term | None = None
    others: tuple[int, ...] = ()


def spare(
    files: PolarFiles,
    policy: Policy,
    decided: Found,
    dead: Collection[Span],
    compile_again: Callable[[Mapping[str, str]], Policy],
) -> tuple[list[Part], bool]:
    """Return the parts that can all be spared at once, and whether there was time to prove it of all.

    Of two that say the same, the later one is found.

    ``decided`` are the rules that decide, ``dead`` those of which it is known that they do not. ``compile_again`` makes
    a policy of changed texts. Where Oso gives up, nothing is found. Raises NoCompiler.
    """
    parts = list(_parts(files, dead))
    try:
        interview = import_module("protect.polar.interview") if parts else None
    except ImportError:
        raise NoCompiler from None
    found: list[Part] = []
    if interview is None:
        return found, True
    try:
        tried = _tried(files, policy, decided, parts, interview)
    except (interview.OsoError, interview.VocabularyError, RecursionError):
        return found, True
    gone = [Part(rule) for rule in files.own_rules() if rule.span in dead]
    proofs, whole = 0, True
    for number, others in tried.items():
        part = parts[number]
        if any(_inside(part, other) for other in gone) or proofs == MOST_PROVEN:
            continue
        proofs += 1
        alike = _alike(policy, _without(files, [*gone, part]), compile_again)
        whole = whole and alike is not None
        if alike:
            gone.append(part)
            found.append(Part(part.rule, part.term, tuple(sorted(others))))
    return found, whole


def written(parts: Iterable[Part]) -> bytes:
    """Return parts as JSON, for `read`."""
    document = []
    for part in parts:
        span = part.term.span if part.term is not None else None
        place = None if span is None else (span.start, span.end)
        document.append((part.rule.span.file, part.rule.span.start, place, part.others))
    return json.dumps(document).encode()


def read(files: PolarFiles, content: bytes) -> list[Part]:
    """Return the parts that were `written` about the same texts."""
    rules = {(rule.span.file, rule.span.start): rule for rule in files.own_rules()}
    parts = []
    for file, start, place, others in json.loads(content):
        rule = rules[file, start]
        terms = {(one.span.start, one.span.end): one for one in walk(rule)}
        parts.append(Part(rule, None if place is None else terms[tuple(place)], tuple(others)))
    return parts


def _alike(
    policy: Policy, texts: Mapping[str, str], compile_again: Callable[[Mapping[str, str]], Policy]
) -> bool | None:
    """Tell whether the policy of ``texts`` decides alike; None where there was no time to find out."""
    try:
        found = compare(policy, compile_again(texts), everything=True, seconds=SECONDS)
    except PolicyError:
        return False
    if any(reason == OUT_OF_TIME for _, reason in found.unproven):
        return None
    return not found.differences and not found.unproven


def _inside(part: Part, other: Part) -> bool:
    if part.rule is not other.rule or other.term is None or part.term is None:
        return part.rule is other.rule and other.term is None
    return other.term.span.start <= part.term.span.start and part.term.span.end <= other.term.span.end


def _parts(files: PolarFiles, dead: Collection[Span]) -> Iterator[Part]:
    """Yield what might be spared: later rules first, and of a rule what contains other parts before those."""
    asked = files.asked()
    by_name = files.rules_by_name()
    lists = {name for name, rules in by_name.items() if any(rule.body is None for rule in rules)}
    about = {name: _About(by_name.get(name, ())) for name in ENTRY_POINTS}

    def judged(node: Rule | Term) -> bool:
        # What another rule says may be changed there: in a list of facts, that is there to grow, or in a word.
        said = node.body if isinstance(node, Rule) and node.name not in ENTRY_POINTS else node
        return not isinstance(said, Call) and not any(
            isinstance(term, Call) and term.name in lists for term in walk(node)
        )

    for rule in reversed(list(files.own_rules())):
        if rule.name not in asked or rule.span in dead:
            continue
        alone = not about[rule.name].met(rule) if rule.name in ENTRY_POINTS else len(by_name[rule.name]) == 1
        if not alone and (rule.body is not None or rule.name in ENTRY_POINTS) and judged(rule):
            yield Part(rule)
        either = [term for term in walk(rule) if isinstance(term, Operation) and term.operator == "or"]
        arms = [arm for term in either for arm in term.operands if judged(arm)]
        yield from (Part(rule, arm) for arm in sorted(arms, key=lambda arm: (-arm.span.end, arm.span.start)))


class _About:
    """What the rules of one entry point are about, to tell which of them may say what another one says."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._kinds: dict[str | None, Counter[str | None]] = {}
        for rule in rules:
            actions, kind = _actions(rule)
            for action in actions:
                self._kinds.setdefault(action, Counter())[kind] += 1

    def met(self, rule: Rule) -> bool:
        """Whether another rule may hold for an action on a type that this one may hold for."""
        actions, kind = _actions(rule)
        if None in actions:
            return any(self._rules(action, kind) > (action is None) for action in self._kinds)
        return any(self._rules(action, kind) > 1 for action in actions) or self._rules(None, kind) > 0

    def _rules(self, action: str | None, kind: str | None) -> int:
        kinds = self._kinds.get(action, Counter())
        return kinds.total() if kind is None else kinds[kind] + kinds[None]


def _actions(rule: Rule) -> tuple[Collection[str | None], str | None]:
    """Return the actions that a rule of an entry point may hold for, None for any, and the type."""
    head = head_of(rule)
    actions: Collection[str | None] = (None,) if head.actions is None else head.actions
    return (actions if head.named is None else (head.named,)), head.kind


# --- trying ---


def _tried(files: PolarFiles, policy: Policy, decided: Found, parts: list[Part], interview: Any) -> dict[int, set[int]]:
    """Return the parts that mattered in no query tried, with the rules that decided instead."""
    trials = _Trials(files, parts, interview)
    left: dict[int, set[int]] = {number: set() for number in range(len(parts))}
    met: set[int] = set()
    for query, entry in _queries(policy, files, decided, parts, left):
        with_all = trials.ask(entry, query)
        for number in with_all.parts & left.keys():
            met.add(number)
            without = trials.ask(entry, query, number)
            if without.holds is not with_all.holds:
                del left[number]
            elif without.rule is not None:
                left[number].add(without.rule)
        if trials.work > MOST_WORK:
            return {number: rules for number, rules in left.items() if number in met}
    return left


def _queries(
    policy: Policy, files: PolarFiles, decided: Found, parts: list[Part], left: Collection[int]
) -> Iterator[tuple[Query, str]]:
    """Yield a query for each way through the graphs on which a part that is ``left`` can matter, and what to ask."""
    rules = [one for one in files.statements if isinstance(one, Rule) and one.name in ENTRY_POINTS]
    by_name = files.rules_by_name()
    within = [_within(rule, by_name, parts) for rule in rules]
    entries = {rule.name for rule in rules}
    for number, rule in enumerate(rules):
        if number in decided and not within[number].isdisjoint(left):
            yield decided.witnesses[number].query, rule.name
    told_apart = topics(policy)
    for topic in told_apart:
        leaves = (node for node in every(*topic.graphs(policy).roots()) if isinstance(node, Leaf))
        if all(leaf.rule is None or within[leaf.rule].isdisjoint(left) for leaf in leaves):
            continue
        for path in islice(paths(policy, topic), MOST_WAYS):
            if path.rule is not None and not within[path.rule].isdisjoint(left):
                yield from _asked(path, [rules[path.rule].name])
    # What stands under a `not` matters where nothing holds, or another entry point does.
    for topic in told_apart:
        for path in islice(paths(policy, topic), MOST_WAYS):
            if not left:
                return
            yield from _asked(path, entries - {rules[path.rule].name if path.rule is not None else ""})


def _asked(path: Path, entries: Iterable[str]) -> Iterator[tuple[Query, str]]:
    query = path.witness()
    if isinstance(query, Query):
        yield from ((query, entry) for entry in entries)


def _within(rule: Rule, by_name: Mapping[str, Sequence[Rule]], parts: Sequence[Part]) -> set[int]:
    """Return the parts in a rule, and in the rules that it comes to."""
    names = reached(calls([rule]), by_name)
    return {number for number, part in enumerate(parts) if part.rule.span == rule.span or part.rule.name in names}


@dataclass(frozen=True, slots=True)
class _Answer:
    """Whether an entry point holds, by which rule, and which parts were looked at."""

    holds: bool
    rule: int | None
    parts: frozenset[int]


@dataclass(slots=True)
class _Trials:
    """The policy with a switch at each part, asked by Oso itself about one query at a time."""

    files: PolarFiles
    given: list[Part]
    interview: Any
    statements: list[Statement] = field(default_factory=list)
    work: int = 0
    _rules: Counter[str] = field(default_factory=Counter)
    _interviewer: Any = None

    def __post_init__(self) -> None:
        switches = [(part, f"{MARK}.switch({number})") for number, part in enumerate(self.given)]
        texts = _edited(self.files, switches)
        for file, text in texts.items():
            self.statements += parse(text, file)[0]
        self._rules.update(one.name for one in self.statements if isinstance(one, Rule))
        self._interviewer = self.interview.Interviewer(Source(texts, self.statements).text)

    def ask(self, entry: str, query: Query, off: int | None = None) -> _Answer:
        """Ask for one entry point, with a part switched off."""
        name = getattr(query.resource, "name", "") if query.resource.kind == "Property" else ""
        topic = self.interview.Topic(entry, query.action, query.resource.kind, name, {}, self._rules[entry])
        path = self._interviewer.grow(topic, query, off)
        self.work += topic.cost() + len(path.asked) + len(path.switches) + 10
        return _Answer(path.holds, path.rule, path.switches)


# --- changing the text ---


def _without(files: PolarFiles, parts: Collection[Part]) -> dict[str, str]:
    return _edited(files, [(part, _NEVER) for part in parts])


def _edited(files: PolarFiles, conditions: Collection[tuple[Part, str]]) -> dict[str, str]:
    """Return the texts, with a further condition for each of some parts."""
    edits: dict[str, list[tuple[int, int, str]]] = {}
    for order, (part, condition) in enumerate(conditions):
        term = part.term or part.rule.body
        place = edits.setdefault(part.rule.span.file, [])
        if term is None:
            place.append((part.rule.span.end - 1, order, f" if {condition}"))
        else:
            # Of two that end together, the outer one is the earlier part.
            place.append((term.span.start, order, "(("))
            place.append((term.span.end, -order, f") and {condition})"))
    return {file: _inserted(content, edits.get(file, ())) for file, content in distinct(files).items()}


def distinct(files: PolarFiles) -> dict[str, str]:
    """Return the texts by their files: of equal ones the first alone, for the others count for nothing."""
    found: dict[str, str] = {}
    for file, text in files.texts.items():
        if text.content not in found.values():
            found[file] = text.content
    return found


def _inserted(content: str, edits: Collection[tuple[int, int, str]]) -> str:
    for place, _, text in sorted(edits, reverse=True):
        content = content[:place] + text + content[place:]
    return content
