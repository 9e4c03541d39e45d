"""Small changes of a policy that tests should notice: a rule taken out, a condition turned round, another role.

Each change is an edit of the text. What it can have an effect on is known from the heads of the rules, so only that
part of the policy has to be compiled again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from protect.loading import PROTECTION, Sources
from protect.polar.check import ENTRY_POINTS
from protect.polar.parser import parse
from protect.polar.syntax import (
    Block,
    Call,
    Dot,
    List,
    Literal,
    Operation,
    Pattern,
    Rule,
    Span,
    Statement,
    Term,
    Variable,
    walk,
)
from protect.policy.saved import is_saved
from protect.policy.vocabulary import RESOURCES
from protect.protections import ini
from protect.protections.sections import OPERATIONS

_ALWAYS, _NEVER = "1 = 1", "1 = 2"
_BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_STATUSES = ("accepted", "pending", "rejected")
_ROLES = ("has_role", "has_service_role")
_OUT_OF_LIST = " is taken out of the list"
_SHOWN = 70


@dataclass(frozen=True, slots=True)
class Reach:
    """What a rule can have an effect on: a type of resource, and actions. None is any."""

    kind: str | None = None
    actions: frozenset[str] | None = None

    def meets(self, other: Reach) -> bool:
        """Whether there is a query that is within both."""
        if None not in (self.kind, other.kind) and self.kind != other.kind:
            return False
        return self.actions is None or other.actions is None or bool(self.actions & other.actions)


@dataclass(frozen=True, slots=True)
class Edit:
    """``text[start:end]`` becomes ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. ``change`` says it in words; ``before`` and ``after`` are the text that is changed, in one line."""

    file: str
    line: int
    column: int
    change: str
    before: str
    after: str
    edits: tuple[Edit, ...]
    reach: tuple[Reach, ...]

    def reaches(self, kind: str, action: str | None) -> bool:
        """Whether the change can have an effect on an action; None is one that no policy mentions."""
        return any(
            one.kind in (None, kind) and (one.actions is None or (action is not None and action in one.actions))
            for one in self.reach
        )


def sampled(found: Sequence[Mutant], number: int) -> list[Mutant]:
    """Return so many of them, evenly spread over the text."""
    if number >= len(found):
        return list(found)
    return [found[index * len(found) // number] for index in range(number)]


class Mutations:
    """The files of a policy, taken apart, and all the small changes that can be made to them."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._texts = {name: data.decode("utf-8") for name, data in sources.files if not is_saved(data)}
        self._statements: list[Statement] = []
        for name, text in self._texts.items():
            if not name.endswith(PROTECTION):
                self._statements += parse(text, name)[0]
        self._entries = [one for one in self._statements if isinstance(one, Rule) and one.name in ENTRY_POINTS]
        self._blocks = any(isinstance(one, Block) for one in self._statements)
        self._calls = {id(one): _called(one) for one in self._statements}
        self._roles = sorted({role for one in self._statements for role in _roles(one)})

    # --- making them ---

    def all(self) -> list[Mutant]:
        """Return every change, file by file in the order of the text. A saved policy has none."""
        if any(is_saved(data) for _, data in self._sources.files):
            return []
        found: list[Mutant] = []
        for statement in self._statements:
            if isinstance(statement, Rule):
                found += self._of_rule(statement)
        for name, text in self._texts.items():
            if name.endswith(PROTECTION):
                found += _of_protections(name, text)
        return list({(one.file, one.edits): one for one in reversed(found)}.values())[::-1]

    def _of_rule(self, rule: Rule) -> Iterator[Mutant]:
        text = self._texts[rule.span.file]
        if rule.body is None:
            out = [Edit(rule.span.end - 1, rule.span.end - 1, f" if {_NEVER}")]
        else:
            body = _wide(rule.body, text)
            out = [Edit(body[0], body[0], f"{_NEVER} and ("), Edit(body[1], body[1], ")")]
        yield self._mutant(rule, rule.span, "the rule is taken out", "", out)
        if rule.body is not None:
            for span, change, after, removed in self._of_term(rule.body, text, dropped=True):
                edits = [Edit(span.start, span.end, after)]
                if removed:
                    edits += _unused(rule, span, text)
                listed = change.endswith(_OUT_OF_LIST)
                yield self._mutant(rule, span, change, "" if listed else after, edits)

    def _of_term(self, term: Term, text: str, *, dropped: bool) -> Iterator[tuple[Span, str, str, bool]]:
        """Yield the span, the change in words, the new text, and whether variables may occur only once then."""
        match term:
            case Operation(operator="and"):
                for operand in term.operands:
                    yield operand.span, "the condition is taken out", _ALWAYS, True
                    yield from self._of_term(operand, text, dropped=False)
                return
            case Operation(operator="or"):
                for operand in term.operands:
                    yield operand.span, "the alternative is taken out", _NEVER, True
                    yield from self._of_term(operand, text, dropped=False)
                return
        if dropped:
            yield term.span, "the condition is taken out", _ALWAYS, True
        if isinstance(term, Operation) and term.operator == "not":
            inner = term.operands[0]
            start, end = _wide(inner, text)
            yield term.span, "the condition is turned round", text[start:end], False
            yield from self._of_term(inner, text, dropped=False)
            return
        if isinstance(term, Operation | Call | Dot):
            start, end = term.span.start, term.span.end
            yield term.span, "the condition is turned round", f"not ({text[start:end]})", False
        yield from self._inside(term, text)

    def _inside(self, term: Term, text: str) -> Iterator[tuple[Span, str, str, bool]]:
        for inner in walk(term):
            match inner:
                case Operation(operator="in", operands=(_, List(items=items))) if len(items) > 1:
                    for item in items:
                        rest = [text[one.span.start : one.span.end] for one in items if one is not item]
                        listed = inner.operands[1].span
                        was = text[item.span.start : item.span.end]
                        yield listed, f"{was}{_OUT_OF_LIST}", f"[{', '.join(rest)}]", True
                case Operation(operator="<" | "<=" | ">" | ">=") if len(inner.operands) == 2:
                    left, right = inner.operands
                    between = text[left.span.end : right.span.start]
                    after = between.replace(inner.operator, _BOUNDARY[inner.operator], 1)
                    whole = text[left.span.start : left.span.end] + after + text[right.span.start : right.span.end]
                    yield inner.span, "the boundary is moved", whole, False
                case Dot(arguments=tuple() as arguments) if arguments and isinstance(arguments[-1], Literal):
                    yield from self._other_word(inner, arguments[-1], len(arguments))

    def _other_word(self, dot: Dot, literal: Literal, number: int) -> Iterator[tuple[Span, str, str, bool]]:
        if not isinstance(literal.value, str):
            return
        if dot.attribute in _ROLES:
            others = [role for role in self._roles if role.lower() != literal.value.lower()] or ["another_role"]
            yield literal.span, "another role", f'"{others[0]}"', False
        elif dot.attribute == "shared_with" and number == 2:
            other = next(status for status in _STATUSES if status != literal.value)
            yield literal.span, "another status", f'"{other}"', False
        elif dot.attribute == "matches":
            pattern = literal.value
            for shorter, where in ((pattern.removeprefix("^"), "start"), (pattern.removesuffix("$"), "end")):
                if shorter != pattern and not shorter.endswith("\\"):
                    yield literal.span, f"the pattern is no longer tied to the {where}", _written(shorter), False

    def _mutant(self, rule: Rule, span: Span, change: str, after: str, edits: list[Edit]) -> Mutant:
        text = self._texts[rule.span.file]
        made = tuple(sorted(edits, key=lambda edit: (edit.start, edit.end)))
        reach = self._reach(rule, _applied(text, made, rule.span))
        before = text[span.start : span.end]
        return Mutant(span.file, span.line, span.column, change, _line(before), _line(after), made, reach)

    def _reach(self, rule: Rule, changed: str) -> tuple[Reach, ...]:
        """Return what a change of a rule can have an effect on: by its own head, or by the rules that ask it."""
        if rule.name not in ENTRY_POINTS:
            found = [_reach(one) for one in self._entries if rule.name in self._needed([one])]
        else:
            again = [one for one in parse(changed, rule.span.file)[0] if isinstance(one, Rule)]
            found = [_reach(one) for one in (rule, *again)] if again else [Reach()]
        return (Reach(),) if self._blocks else tuple(dict.fromkeys(found))

    def _needed(self, entries: Iterable[Statement]) -> set[str]:
        """Return the names of all rules that these ask, directly or not."""
        by_name: dict[str, set[str]] = {}
        for one in self._statements:
            if isinstance(one, Rule):
                by_name.setdefault(one.name, set()).update(self._calls[id(one)])
        found: set[str] = set()
        waiting = {name for one in entries for name in self._calls[id(one)]}
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting |= by_name.get(name, set()) - found
        return found

    # --- applying them ---

    def made(self, mutant: Mutant) -> Sources:
        """Return the files with the change made, and without the rules that bear on nothing within its reach.

        Within its reach the policy of these files decides as that of all files would.
        """
        kept = [one for one in self._entries if any(_reach(one).meets(reach) for reach in mutant.reach)]
        needed = self._needed(kept)
        stay = {id(one) for one in kept}
        texts: dict[str, str] = {}
        for name, text in self._texts.items():
            edits = list(mutant.edits) if name == mutant.file else []
            for one in self._statements:
                if one.span.file == name and not self._stays(one, stay, needed):
                    edits.append(Edit(one.span.start, one.span.end, _blank(text[one.span.start : one.span.end])))
            texts[name] = _edited(text, edits)
        if self._entries and not any(one.name == "allow" for one in kept):
            allowing = next((one for one in self._entries if one.name == "allow"), None)
            if allowing is not None:
                # Whether anything is allowed at all says what kind of policy this is.
                texts[allowing.span.file] += f'\nallow(_subject, "\ue001", _resource) if {_NEVER};\n'
        files = tuple((name, texts[name].encode()) for name, _ in self._sources.files)
        return Sources(files, (), self._sources.format, self._sources.rules)

    def _stays(self, one: Statement, stay: set[int], needed: set[str]) -> bool:
        if isinstance(one, Rule):
            return id(one) in stay if one.name in ENTRY_POINTS else self._blocks or one.name in needed
        return isinstance(one, Block)


def _reach(rule: Rule) -> Reach:
    """Return what an entry point's rule is about, as far as its head and the conditions joined by ``and`` say."""
    _, action, resource = rule.parameters
    kind = None
    if isinstance(resource.specializer, Pattern) and resource.specializer.name in RESOURCES:
        kind = resource.specializer.name
    if isinstance(action.term, Literal):
        return Reach(kind, frozenset({str(action.term.value)}))
    joined = [rule.body] if rule.body is not None else []
    if isinstance(rule.body, Operation) and rule.body.operator == "and":
        joined = list(rule.body.operands)
    for term in joined:
        texts = _texts(term, action.term)
        if texts is not None:
            return Reach(kind, frozenset(texts))
    return Reach(kind)


def _texts(term: Term, action: Term) -> list[str] | None:
    """Return the actions that a condition names: `action in [...]` or `action = "x"`."""
    if not isinstance(term, Operation) or not isinstance(action, Variable) or len(term.operands) != 2:
        return None
    left, right = term.operands
    if not isinstance(left, Variable) or left.name != action.name:
        return None
    items: tuple[Term, ...] = ()
    if term.operator == "in" and isinstance(right, List) and right.rest is None:
        items = right.items
    elif term.operator in ("=", "=="):
        items = (right,)
    texts = [one.value for one in items if isinstance(one, Literal) and isinstance(one.value, str)]
    return texts if items and len(texts) == len(items) else None


def _called(statement: Statement) -> set[str]:
    return {term.name for term in walk(statement) if isinstance(term, Call)}


def _roles(statement: Statement) -> Iterator[str]:
    for term in walk(statement):
        if isinstance(term, Dot) and term.attribute in _ROLES:
            for argument in term.arguments or ():
                if isinstance(argument, Literal) and isinstance(argument.value, str):
                    yield argument.value


def _unused(rule: Rule, gone: Span, text: str) -> Iterator[Edit]:
    """Yield what makes variables that occur only once now ones that may."""
    counts: Counter[str] = Counter()
    places: dict[str, Span] = {}
    for term in walk(rule):
        if isinstance(term, Variable) and not gone.start <= term.span.start < gone.end:
            counts[term.name] += 1
            places[term.name] = term.span
    for name, count in counts.items():
        place = places[name]
        # In a head a type stands behind the variable, not in its place.
        written = text[place.start : place.end] == name and name[0].islower()
        if count == 1 and written and name not in ("context", "nil"):
            yield Edit(place.start, place.start, "_unused_")


def _wide(term: Term, text: str) -> tuple[int, int]:
    """Return where a term stands with the brackets around it: an operator inside them must stay inside."""
    start, end = term.span.start, term.span.end
    while True:
        before = re.search(r"\(\s*$", text[:start])
        after = re.match(r"\s*\)", text[end:])
        # The bracket of a call is not one around its argument.
        name = re.search(r"([A-Za-z0-9_?]+)$", text[: before.start()]) if before else None
        if not before or not after or (name and name[1] not in ("if", "and", "or", "not")):
            return start, end
        start, end = before.start(), end + after.end()


def _applied(text: str, edits: Sequence[Edit], span: Span) -> str:
    shifted = [Edit(one.start - span.start, one.end - span.start, one.text) for one in edits]
    return _edited(text[span.start : span.end], shifted)


def _edited(text: str, edits: Iterable[Edit]) -> str:
    written, place = [], 0
    for edit in sorted(edits, key=lambda one: (one.start, one.end)):
        written += [text[place : edit.start], edit.text]
        place = edit.end
    return "".join([*written, text[place:]])


def _blank(text: str) -> str:
    """Return as many lines with nothing in them, so that what follows stays where it was."""
    return re.sub(r"[^\n]", " ", text)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _written(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- protection files ---


def _of_protections(file: str, text: str) -> Iterator[Mutant]:
    document = ini.read(text, file)
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    headers = [number for number, line in enumerate(lines, start=1) if line.lstrip().startswith("[")]
    for block in document.blocks:
        end = next((number for number in headers if number > block.line), len(lines) + 1)
        span = (starts[block.line - 1], min(starts[end - 1], len(text)))
        reach = (Reach("Property", frozenset(OPERATIONS)),)
        out = (Edit(*span, _blank(text[slice(*span)])),)
        yield Mutant(file, block.line, block.column - 1, "the section is taken out", f"[{block.name}]", "", out, reach)
        yield from _of_values(file, block.options, text, starts)


def _of_values(file: str, options: Mapping[str, ini.Option], text: str, starts: Sequence[int]) -> Iterator[Mutant]:
    for option in options.values():
        if option.key not in OPERATIONS:
            continue
        start = starts[option.line - 1] + option.value_column - 1
        end = starts[option.line - 1 + len(option.value.split("\n"))] - 1
        reach = (Reach("Property", frozenset({option.key})),)
        for other, change in (("!", "nobody may"), ("@", "everybody may")):
            if option.value != other:
                before = _line(f"{option.key} = {option.value}")
                yield Mutant(
                    file,
                    option.line,
                    option.column,
                    change,
                    before,
                    f"{option.key} = {other}",
                    (Edit(start, min(end, len(text)), other),),
                    reach,
                )
