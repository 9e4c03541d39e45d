"""Where an `allow` holds because a fact has no value: comparisons under a `not`, and `!=`.

What else has to hold there may prove that the fact has one: `image.owner = subject.tenant and image.owner != "x"` is no
trap. Facts are followed into the rules that are asked for, by the number of the argument.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from protect.polar.syntax import Call, Dot, List, Literal, Operation, Pattern, Rule, Term, Variable, inside
from protect.policy.vocabulary import TYPES, Kind

#: Facts that every query has. Any other text or number may be missing.
_ALWAYS: Final = frozenset({"id", "status", "visibility", "type"})
_EQUALS: Final = frozenset({"=", "==", "in"})
_COMPARES: Final = _EQUALS | {"<", ">", "<=", ">="}
#: How deep rules are followed to see what must have a value.
_DEEPEST: Final = 4


@dataclass(frozen=True, slots=True)
class Trap:
    """A comparison in a rule that holds also where the fact ``written`` there has no value."""

    rule: Rule
    term: Term
    written: str


@dataclass(frozen=True, slots=True)
class _Visit:
    """A rule that is asked for: under an odd number of `not` or not, and what is known of its arguments.

    ``valued`` are facts that have a value, ``lacking`` arguments that may have none, by the number of the argument.
    """

    name: str
    negated: bool = False
    valued: frozenset[tuple[int, str]] = frozenset()
    lacking: frozenset[tuple[int, str]] = frozenset()


@dataclass(slots=True)
class _Body:
    """One rule while it is looked through: its types, and what its variables stand for."""

    rule: Rule
    types: Mapping[str, str]
    lacking: dict[str, str] = field(default_factory=dict)

    def missing(self, term: Term) -> str | None:
        """Return how a fact that may have no value is written here; None for anything else."""
        if isinstance(term, Variable):
            return self.lacking.get(term.name)
        written = _written(term)
        if not isinstance(term, Dot) or written is None or not isinstance(term.attribute, str):
            return None
        if term.attribute in _ALWAYS or (term.attribute == "name" and not self._of_image(term.base)):
            return None
        kinds = {word.kind for words in TYPES.values() for name, word in words.items() if name == term.attribute}
        return written if kinds and kinds <= {Kind.TEXT, Kind.NUMBER, Kind.ANY} else None

    def _of_image(self, base: Term) -> bool:
        return isinstance(base, Dot) or (isinstance(base, Variable) and self.types.get(base.name) == "Image")


#: What has a value wherever a rule holds, by its name and how deep it was followed: arguments, and what follows a dot.
_Proven = dict[tuple[str, int], frozenset[tuple[int, str]]]


def traps(rules: Mapping[str, Sequence[Rule]]) -> Iterator[Trap]:
    """Yield them, for the policy with these rules by name."""
    waiting = [_Visit("allow")]
    visited: set[_Visit] = set()
    met: set[tuple[object, str]] = set()
    proven: _Proven = {}
    while waiting:
        visit = waiting.pop()
        if visit in visited:
            continue
        visited.add(visit)
        for rule in rules.get(visit.name, ()):
            for found in _Walk(rules, visit, rule, proven).run():
                if isinstance(found, _Visit):
                    waiting.append(found)
                elif (found.term.span, found.written) not in met:
                    met.add((found.term.span, found.written))
                    yield found


class _Walk:
    """One rule, as one visit comes to it."""

    def __init__(self, rules: Mapping[str, Sequence[Rule]], visit: _Visit, rule: Rule, proven: _Proven) -> None:
        self._rules = rules
        self._known = proven
        self._visit = visit
        self._rule = rule
        names = {number: one.term.name for number, one in enumerate(rule.parameters) if isinstance(one.term, Variable)}
        types = {
            one.term.name: one.specializer.name or ""
            for one in rule.parameters
            if isinstance(one.term, Variable) and isinstance(one.specializer, Pattern)
        }
        self._body = _Body(rule, types, {names[at]: said for at, said in visit.lacking if at in names})
        self._valued = frozenset(names[at] + rest for at, rest in visit.valued if at in names)

    def run(self) -> Iterator[Trap | _Visit]:
        """Yield the traps in the rule, and the rules that it asks for."""
        if self._rule.body is not None:
            self._name_facts(self._rule.body)
            yield from self._look(self._rule.body, self._visit.negated, self._valued)

    def _name_facts(self, body: Term) -> None:
        """Take note of variables that stand for a fact: `name = image.name`."""
        for term in _conjuncts(body):
            if isinstance(term, Operation) and term.operator in ("=", "==") and len(term.operands) == 2:
                for one, other in (term.operands, term.operands[::-1]):
                    said = self._body.missing(other) if isinstance(other, Dot) else None
                    if isinstance(one, Variable) and said is not None:
                        self._body.lacking.setdefault(one.name, said)

    def _look(self, term: Term, negated: bool, valued: frozenset[str]) -> Iterator[Trap | _Visit]:
        if isinstance(term, Operation) and term.operator == "and" and not negated:
            proven = [self._proven(one, _DEEPEST, self._body.lacking) for one in term.operands]
            times = Counter(fact for facts in proven for fact in facts)
            for part, own in zip(term.operands, proven, strict=True):
                others = {fact for fact in times if times[fact] > 1 or fact not in own}
                yield from self._look(part, negated, valued | others)
            return
        if isinstance(term, Operation):
            yield from self._compared(term, negated, valued)
        elif isinstance(term, Call):
            visit = self._asked(term, negated, valued)
            yield visit
            for at, said in sorted(visit.lacking):
                # A text in a head is a comparison as well, and said of whoever asks: there may be many such heads.
                if negated and any(_has_text(rule, at) for rule in self._rules.get(term.name, ())):
                    yield Trap(self._rule, term, said)
        flips = isinstance(term, Operation) and term.operator == "not"
        for inner in inside(term):
            if isinstance(inner, Term):
                yield from self._look(inner, negated is not flips, valued)

    def _compared(self, term: Operation, negated: bool, valued: frozenset[str]) -> Iterator[Trap]:
        if negated and term.operator == "matches" and isinstance(term.operands[1], Pattern):
            pattern = term.operands[1]
            for key, _ in pattern.fields.fields if pattern.fields is not None else ():
                base = _written(term.operands[0])
                typed = _Body(self._rule, {"x": pattern.name or ""})
                fact = Dot(Variable("x", term.span), key, None, (), term.span, term.span)
                if typed.missing(fact) is not None and f"{base}.{key}" not in valued:
                    yield Trap(self._rule, term, f"{base}.{key}")
                    return
        if term.operator not in (_COMPARES if negated else {"!="}):
            return
        for operand in term.operands:
            said = self._body.missing(operand)
            if said is not None and said not in valued:
                yield Trap(self._rule, term, said)
                return

    def _asked(self, call: Call, negated: bool, valued: frozenset[str]) -> _Visit:
        known: set[tuple[int, str]] = set()
        lacking: set[tuple[int, str]] = set()
        for at, argument in enumerate(call.arguments):
            written = _written(argument)
            known.update((at, one[len(written) :]) for one in valued if written and one.startswith(f"{written}."))
            said = self._body.missing(argument)
            if said is not None and said not in valued:
                lacking.add((at, said))
        return _Visit(call.name, negated, frozenset(known), frozenset(lacking))

    def _proven(self, term: Term, depth: int, named: Mapping[str, str]) -> frozenset[str]:
        """Return the facts that have a value wherever ``term`` holds. ``named`` are variables that stand for one."""
        if isinstance(term, Operation):
            if term.operator in ("and", "or") and term.operands:
                parts = [self._proven(part, depth, named) for part in term.operands]
                return frozenset.union(*parts) if term.operator == "and" else frozenset.intersection(*parts)
            if term.operator in _COMPARES and not _names(term.operands):
                facts = term.operands[:1] if term.operator == "in" else term.operands
                return frozenset(named.get(one, one) for one in filter(None, map(_written, facts)))
        if isinstance(term, Dot) and term.attribute == "has_property" and term.arguments:
            base, key = _written(term.base), term.arguments[0]
            return frozenset({f'{base}.get("{key.value}")'} if isinstance(key, Literal) else ())
        if isinstance(term, Call) and depth:
            arguments = dict(enumerate(map(_written, term.arguments)))
            found = self._proven_by_rules(term.name, depth - 1)
            return frozenset(f"{written}{rest}" for at, rest in found if (written := arguments.get(at)) is not None)
        return frozenset()

    def _proven_by_rules(self, name: str, depth: int) -> frozenset[tuple[int, str]]:
        known = self._known.get((name, depth))
        if known is None:
            answers = [frozenset(self._proven_by_rule(rule, depth)) for rule in self._rules.get(name, ())]
            known = frozenset.intersection(*answers) if answers else frozenset()
            self._known[name, depth] = known
        return known

    def _proven_by_rule(self, rule: Rule, depth: int) -> Iterator[tuple[int, str]]:
        # The caller's variables are none of this rule's, whatever they are called.
        proven = self._proven(rule.body, depth, {}) if rule.body is not None else frozenset()
        for at, parameter in enumerate(rule.parameters):
            if isinstance(parameter.term, Literal):
                yield at, ""
            elif isinstance(parameter.term, Variable):
                name = parameter.term.name
                yield from ((at, one[len(name) :]) for one in proven if one == name or one.startswith(f"{name}."))


def _has_text(rule: Rule, at: int) -> bool:
    return at < len(rule.parameters) and isinstance(rule.parameters[at].term, Literal)


def _conjuncts(term: Term) -> Iterator[Term]:
    if isinstance(term, Operation) and term.operator == "and":
        for part in term.operands:
            yield from _conjuncts(part)
    else:
        yield term


def _names(operands: Sequence[Term]) -> bool:
    """Whether a comparison only gives a fact another name, which proves nothing: `name = image.name`."""
    return any(isinstance(one, Variable) for one in operands) and not any(
        isinstance(one, Literal | List) for one in operands
    )


def _written(term: Term) -> str | None:
    """Return a variable or a fact as it is written, but for spaces; None for anything else."""
    if isinstance(term, Variable):
        return term.name
    if not isinstance(term, Dot) or not isinstance(term.attribute, str):
        return None
    base = _written(term.base)
    if base is None:
        return None
    if term.arguments is None:
        return f"{base}.{term.attribute}"
    key = term.arguments[0] if len(term.arguments) == 1 else None
    return f'{base}.{term.attribute}("{key.value}")' if isinstance(key, Literal) else None
