"""Regular expressions as automata: is there a text in which these patterns are found, and those are not?

The pattern is read by Python's own parser and becomes a nondeterministic automaton over ranges of characters; several
of them are walked side by side, shortest text first. What the automata have no words for (look-around, references back,
word boundaries, letters beyond ASCII without case, …) raises ``Unsupported``: nothing is approximated.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from itertools import accumulate
from operator import xor
from typing import Any

# The ranges of `\w` and the like as Python's engine has them; computing them twice could make two answers.
from protect.policy.patterns import MALFORMED, _category

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF
#: Beyond these, a pattern counts as unsupported, and a search as without an answer.
MOST_STATES = 4_000
MOST_STEPS = 20_000
MOST_REMEMBERED = 50_000

_SURROGATES = (0xD800, 0xDFFF)
#: What a reader likes to see in a name, best first.
_LIKED = "xabcdefghijklmnopqrstuvwyz_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-.:/@ "
_LIKED_FIRST = tuple(dict.fromkeys((*map(ord, _LIKED), *range(128))))

_NEWLINE = 10
_ANY: Ranges = ((0, LAST),)
_NOT_NEWLINE: Ranges = ((0, 9), (11, LAST))

#: Letters that fold to ASCII ones, by whose engine.
_FOLDED_LIKE: dict[str, dict[str, tuple[int, ...]]] = {
    "python": {"i": (0x130, 0x131), "k": (0x212A,), "s": (0x17F,)},
    "re2": {"k": (0x212A,), "s": (0x17F,)},
}
_RE2_CLASSES: dict[str, Ranges] = {
    "DIGIT": ((48, 57),),
    "SPACE": ((9, 10), (12, 13), (32, 32)),
    "WORD": ((48, 57), (65, 90), (95, 95), (97, 122)),
}


class Unsupported(Exception):
    """The automata have no words for this pattern."""


class Endless(Exception):
    """No answer within the bound of steps."""


@dataclass(slots=True)
class Machine:
    """A nondeterministic automaton that finds its pattern anywhere in a text. State 0 begins, state 1 has found it.

    ``free`` are moves without a character: ``start`` only before the first one, ``end`` only behind the last one.
    """

    edges: list[list[tuple[Ranges, int]]] = field(default_factory=lambda: [[], []])
    free: list[list[tuple[str, int]]] = field(default_factory=lambda: [[], []])
    _stepped: dict[tuple[frozenset[int], int], frozenset[int]] = field(default_factory=dict)

    def state(self) -> int:
        """Add a state."""
        if len(self.edges) > MOST_STATES:
            raise Unsupported("the pattern is too large")
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def closed(self, states: Iterable[int], *, start: bool = False, end: bool = False) -> frozenset[int]:
        """Return all states that are reached without a character."""
        reached = set(states)
        waiting = list(reached)
        while waiting:
            for condition, target in self.free[waiting.pop()]:
                fits = not condition or (condition == "start" and start) or (condition == "end" and end)
                if fits and target not in reached:
                    reached.add(target)
                    waiting.append(target)
        return frozenset(reached)

    def step(self, states: frozenset[int], code: int) -> frozenset[int]:
        """Return the states after one more character; remembered, since the same ones come again and again."""
        known = self._stepped.get((states, code))
        if known is None:
            if len(self._stepped) > MOST_REMEMBERED:
                self._stepped.clear()
            reached = {target for state in states for ranges, target in self.edges[state] if _holds(ranges, code)}
            known = self._stepped[states, code] = self.closed(reached)
        return known

    def ranges(self) -> set[Ranges]:
        """Return every set of characters that some edge tells from the others."""
        return {ranges for edges in self.edges for ranges, _ in edges}


FOUND = 1


def _holds(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


@lru_cache(maxsize=4096)
def machine(pattern: str, dialect: str) -> Machine:
    """Return the automaton of a pattern as ``re2`` or ``python`` reads it. Raises Unsupported."""
    written = _as_python(pattern) if dialect == "re2" else pattern
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = import_module("re._parser").parse(written)
        made = Machine()
        made.edges[0].append((_ANY, 0))
        begin = made.state()
        made.free[0].append(("", begin))
        writer = _Writer(made, dialect)
        end = writer.sequence(tree, begin, tree.state.flags, last=True)
    except (*MALFORMED, KeyError):
        raise Unsupported("the pattern cannot be read") from None
    made.free[end].append(("", FOUND))
    return made


_ESCAPES = frozenset("dDwWsSAnrtfva")
_GROUPS = re.compile(r"\(\?(?::|i\)|s\)|is\)|si\)|i:|s:|-i:|P<)")


def _as_python(pattern: str) -> str:
    """Return the pattern for Python's parser, where that reads it as RE2 does. Raises Unsupported elsewhere."""
    written: list[str] = []
    index, inside = 0, False
    while index < len(pattern):
        one, two = pattern[index], pattern[index : index + 2]
        if one == "\\":
            escaped = two[1:]
            if escaped == "z" and not inside:
                two = r"\Z"
            elif escaped == "x" and re.match(r"[0-9A-Fa-f]{2}", pattern[index + 2 :]):
                pass
            elif not escaped or (escaped.isalnum() and escaped not in _ESCAPES) or (inside and escaped == "A"):
                raise Unsupported(f"`{two}`")
            written.append(two)
            index += 2
            continue
        if inside:
            if two in ("[:", "[.", "[="):
                raise Unsupported(f"`{two}`")
            inside = one != "]"
        elif one == "[":
            # A bracket that closes directly behind the one that opens stands for itself.
            opening = re.match(r"\[\^?\]?", pattern[index:])
            assert opening is not None
            written.append(opening[0])
            index += len(opening[0])
            inside = True
            continue
        elif (two == "(?" and not _GROUPS.match(pattern, index)) or two == "{," or re.match(r"[*+?}]\+", two):
            raise Unsupported(f"`{two}`")
        written.append(one)
        index += 1
    return "".join(written)


class _Writer:
    """Writes a parse tree into an automaton: each item from a state to the state behind it."""

    def __init__(self, made: Machine, dialect: str) -> None:
        self._made = made
        self._dialect = dialect

    def sequence(self, items: Iterable[Any], state: int, flags: int, *, last: bool) -> int:
        items = list(items)
        allowed = re.IGNORECASE | re.DOTALL | re.UNICODE
        if flags & ~allowed:
            raise Unsupported("flags")
        for index, (operator, argument) in enumerate(items):
            state = self._item(str(operator), argument, state, flags, last=last and index == len(items) - 1)
        return state

    def _item(self, operator: str, argument: Any, state: int, flags: int, *, last: bool) -> int:
        match operator:
            case "LITERAL":
                return self._edge(state, self._folded(((argument, argument),), flags))
            case "NOT_LITERAL":
                return self._edge(state, _without(self._folded(((argument, argument),), flags)))
            case "ANY":
                return self._edge(state, _ANY if flags & re.DOTALL else _NOT_NEWLINE)
            case "IN":
                return self._edge(state, self._class(argument, flags))
            case "BRANCH":
                behind = self._made.state()
                for branch in argument[1]:
                    self._free(self.sequence(branch, self._next(state), flags, last=last), behind)
                return behind
            case "SUBPATTERN":
                _, added, removed, inner = argument
                return self.sequence(inner, state, (flags | added) & ~removed, last=last)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = argument
                return self._repeat(least, most, inner, state, flags)
            case "AT":
                return self._place(str(argument), state, last=last)
        raise Unsupported(operator.lower())

    def _repeat(self, least: int, most: Any, inner: Any, state: int, flags: int) -> int:
        for _ in range(least):
            state = self.sequence(inner, self._next(state), flags, last=False)
        behind = self._made.state()
        if str(most) == "MAXREPEAT":
            state = self._next(state)
            self._free(state, behind)
            self._free(self.sequence(inner, self._next(state), flags, last=False), state)
            return behind
        for _ in range(int(most) - least):
            self._free(state, behind)
            state = self.sequence(inner, self._next(state), flags, last=False)
        self._free(state, behind)
        return behind

    def _place(self, place: str, state: int, *, last: bool) -> int:
        if place in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return self._next(state, "start")
        if place not in ("AT_END", "AT_END_STRING"):
            raise Unsupported("a word boundary")
        behind = self._next(state, "end")
        if place == "AT_END" and self._dialect == "python":
            # Python's `$` also stands before a newline that ends the text.
            if not last:
                raise Unsupported("`$` inside the pattern")
            newline = self._edge(state, ((_NEWLINE, _NEWLINE),))
            self._made.free[newline].append(("end", behind))
        return behind

    def _class(self, members: Sequence[Any], flags: int) -> Ranges:
        ranges: list[tuple[int, int]] = []
        negated = False
        for operator, argument in members:
            match str(operator):
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    ranges += self._folded(((argument, argument),), flags)
                case "RANGE":
                    ranges += self._folded((argument,), flags)
                case "CATEGORY":
                    ranges += self._category(str(argument), flags)
                case _:
                    raise Unsupported("this class of characters")
        return _without(ranges) if negated else _tidy(ranges)

    def _category(self, name: str, flags: int) -> Ranges:
        if flags & re.IGNORECASE and "WORD" in name:
            raise Unsupported("`\\w` without case")
        if self._dialect == "python":
            return _category(name)
        *negated, kind = name.removeprefix("CATEGORY_").split("_")
        return _without(_RE2_CLASSES[kind]) if negated else _RE2_CLASSES[kind]

    def _folded(self, ranges: Ranges, flags: int) -> Ranges:
        if not flags & re.IGNORECASE:
            return ranges
        also: list[tuple[int, int]] = []
        for low, high in ranges:
            if high > 127:
                one = chr(low)
                if low != high or one.lower() != one or one.upper() != one or one.casefold() != one:
                    raise Unsupported("letters beyond ASCII, without case")
                continue
            for letter in filter(str.isalpha, map(chr, range(low, high + 1))):
                other = ord(letter.swapcase())
                like = _FOLDED_LIKE[self._dialect].get(letter.lower(), ())
                also += [(code, code) for code in (other, *like)]
        return _tidy([*ranges, *also])

    def _edge(self, state: int, ranges: Ranges) -> int:
        behind = self._made.state()
        self._made.edges[state].append((ranges, behind))
        return behind

    def _next(self, state: int, condition: str = "") -> int:
        behind = self._made.state()
        self._free(state, behind, condition)
        return behind

    def _free(self, state: int, target: int, condition: str = "") -> None:
        self._made.free[state].append((condition, target))


def _tidy(ranges: Iterable[tuple[int, int]]) -> Ranges:
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def _without(ranges: Iterable[tuple[int, int]]) -> Ranges:
    left: list[tuple[int, int]] = []
    start = 0
    for low, high in _tidy(ranges):
        if low > start:
            left.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        left.append((start, LAST))
    return tuple(left)


#: How many characters of a pattern's beginning are looked at.
_LONGEST_LEAD = 48


def lead(made: Machine) -> tuple[Ranges, ...]:
    """Return how every text begins that the pattern is found in: for each place the characters that can stand there.

    Empty for a pattern that is found in the middle of a text as well.
    """
    fruitful = _fruitful(made)
    states = made.closed((0,), start=True)
    found: list[Ranges] = []
    if FOUND in made.closed((0,), start=True, end=True):
        return ()
    while len(found) < _LONGEST_LEAD:
        edges = [edge for state in states for edge in made.edges[state] if edge[1] in fruitful]
        found.append(_tidy(one for ranges, _ in edges for one in ranges))
        states = made.closed({target for _, target in edges})
        if FOUND in made.closed(states, end=True):
            break
    return tuple(found)


def _fruitful(made: Machine) -> set[int]:
    """Return the states from which the pattern can still be found, once a character has been read."""
    before: dict[int, list[int]] = {}
    for state, edges in enumerate(made.edges):
        for ranges, target in edges:
            if ranges:
                before.setdefault(target, []).append(state)
    for state, moves in enumerate(made.free):
        for condition, target in moves:
            if condition != "start":
                before.setdefault(target, []).append(state)
    reached, waiting = {FOUND}, [FOUND]
    while waiting:
        for state in before.get(waiting.pop(), ()):
            if state not in reached:
                reached.add(state)
                waiting.append(state)
    return reached


def overlap(one: Ranges, other: Ranges) -> bool:
    """Whether two sets of characters have one in common."""
    return one == other or any(low <= top and bottom <= high for low, high in one for bottom, top in other)


_Sets = tuple[frozenset[int], ...]


def shortest(found_in: Sequence[Machine], not_in: Sequence[Machine], other_than: Iterable[str] = ()) -> str | None:
    """Return a shortest text that all of ``found_in`` find and none of ``not_in``, or None: there is no such text.

    Raises Endless beyond ``MOST_STEPS``.
    """
    taken = _Trie(other_than)
    machines = (*found_in, *not_in)
    letters = _letters(machines, taken.letters)
    wanted = len(found_in)

    def settled(sets: list[frozenset[int]]) -> _Sets | None:
        """Forget what no longer matters; None where a pattern that must not be found has been."""
        for index, states in enumerate(sets):
            if FOUND in states:
                if index >= wanted:
                    return None
                sets[index] = frozenset((FOUND,))
        return tuple(sets)

    def ends(sets: _Sets, *, start: bool) -> bool:
        return all(
            (FOUND in made.closed(states, start=start, end=True)) is (index < wanted)
            for index, (made, states) in enumerate(zip(machines, sets, strict=True))
        )

    begin = settled([made.closed((0,), start=True) for made in machines])
    if begin is None:
        return None
    if ends(begin, start=True) and not taken.ends(taken.root):
        return ""
    seen = {(begin, taken.root)}
    waiting = deque([(begin, taken.root, "")])
    steps = 0
    while waiting:
        sets, place, text = waiting.popleft()
        for code in letters:
            steps += 1
            if steps > MOST_STEPS:
                raise Endless
            moved = settled(
                [
                    states if states == frozenset((FOUND,)) else made.step(states, code)
                    for made, states in zip(machines, sets, strict=True)
                ]
            )
            if moved is None or any(not states for states in moved[:wanted]):
                continue
            follows = taken.step(place, chr(code))
            if (moved, follows) in seen:
                continue
            if ends(moved, start=False) and not taken.ends(follows):
                return text + chr(code)
            seen.add((moved, follows))
            waiting.append((moved, follows, text + chr(code)))
    return None


class _Trie:
    """The texts that are taken, letter by letter. A place is None once the text has left them all."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._ends: set[int] = set()
        self.letters: set[str] = set()
        self.root: int | None = 0
        for text in texts:
            place = 0
            for letter in text:
                if letter not in self._next[place]:
                    self._next[place][letter] = len(self._next)
                    self._next.append({})
                place = self._next[place][letter]
            self._ends.add(place)
            self.letters.update(text)
        if not self._ends:
            self.root = None

    def step(self, place: int | None, letter: str) -> int | None:
        return None if place is None else self._next[place].get(letter)

    def ends(self, place: int | None) -> bool:
        return place in self._ends


def _letters(machines: Sequence[Machine], apart: Iterable[str]) -> list[int]:
    """Return one character for each kind that the automata tell apart, and those of ``apart``; liked ones first."""
    special = {ord(letter) for letter in apart}
    chosen: dict[int, int] = {}
    bounds, kinds = _kinds(machines)
    for code in _LIKED_FIRST:
        if code not in special:
            chosen.setdefault(kinds[bisect_right(bounds, code) - 1], code)
    for index, kind in enumerate(kinds):
        if kind not in chosen:
            # Where the texts that are taken use up the first characters of a kind, its next ones are still free.
            last = bounds[index + 1] - 1 if index + 1 < len(bounds) else LAST
            code = _free(bounds[index], last, special)
            if code is not None:
                chosen[kind] = code
    return [*chosen.values(), *sorted(special)]


def _kinds(machines: Iterable[Machine]) -> tuple[list[int], list[int]]:
    """Return where each run of characters begins that no automaton tells apart, and the kind of each run."""
    told = {ranges for made in machines for ranges in made.ranges()}
    turns: dict[int, int] = {0: 0}
    for bit, ranges in enumerate(told):
        for low, high in ranges:
            turns[low] = turns.get(low, 0) ^ 1 << bit
            turns[high + 1] = turns.get(high + 1, 0) ^ 1 << bit
    bounds = sorted(bound for bound in turns if bound <= LAST)
    kinds = list(accumulate((turns[bound] for bound in bounds), xor))
    return bounds, kinds


def _free(low: int, high: int, taken: set[int]) -> int | None:
    """Return the first character of a run that is not taken."""
    code = low
    while code <= high:
        if _SURROGATES[0] <= code <= _SURROGATES[1]:
            code = _SURROGATES[1] + 1
        elif code in taken:
            code += 1
        else:
            return code
    return None
