"""Numbers that fit orderings, or the proof that there are none: numbers as JSON has them, without a smallest step."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

Number = int | float


@dataclass(frozen=True, slots=True)
class Below:
    """``left`` is less than ``right``; with ``equal``, at most. Each is a variable's name or a number."""

    left: Hashable
    right: Hashable
    equal: bool = False


def numbers(
    variables: Sequence[Hashable], orders: Iterable[Below], different: Iterable[tuple[Hashable, Hashable]]
) -> Mapping[Hashable, Number] | None:
    """Return a number for each variable, whole and not negative where that can be, or None: there are none.

    ``different`` are pairs, of variables or numbers, that must not be equal. Numbers stand for themselves, wrapped in
    ``Fraction``.
    """
    orders, different = list(orders), list(different)
    constants = {end for order in orders for end in (order.left, order.right) if isinstance(end, Fraction)}
    constants |= {end for pair in different for end in pair if isinstance(end, Fraction)}
    known = sorted(constants)
    orders += [Below(low, high) for low, high in pairwise(known)]
    groups = _groups([*variables, *known], orders)
    if any(groups[order.left] == groups[order.right] and not order.equal for order in orders):
        return None
    if any(groups[left] == groups[right] for left, right in different):
        return None
    edges = {
        (groups[order.left], groups[order.right], order.equal)
        for order in orders
        if groups[order.left] != groups[order.right]
    }
    fixed = {groups[constant]: constant for constant in known}
    apart = {frozenset((groups[left], groups[right])) for left, right in different}
    try:
        values = _assigned(fixed, edges, apart, groups)
    except StopIteration:
        # Groups that may be equal and need not: between different ones there is always room.
        values = _assigned(fixed, {(left, right, False) for left, right, _ in edges}, apart, groups)
    return {variable: _plain(values[groups[variable]]) for variable in variables}


def _groups(nodes: Sequence[Hashable], orders: Sequence[Below]) -> dict[Hashable, int]:
    """Return which nodes lie on one circle of orderings, and so are equal."""
    above: dict[Hashable, set[Hashable]] = {node: {node} for node in nodes}
    changed = True
    while changed:
        changed = False
        for order in orders:
            more = above[order.right] - above[order.left]
            if more:
                changed = True
            for reached in above.values():
                if order.left in reached:
                    reached |= more
    groups: dict[Hashable, int] = {}
    for node in nodes:
        equal = next((other for other in groups if other in above[node] and node in above[other]), None)
        groups[node] = groups[equal] if equal is not None else len(set(groups.values()))
    return groups


_Edges = AbstractSet[tuple[int, int, bool]]


def _assigned(
    fixed: Mapping[int, Fraction], edges: _Edges, apart: AbstractSet[frozenset[int]], groups: Mapping[Hashable, int]
) -> Mapping[int, Fraction]:
    values: dict[int, Fraction] = dict(fixed)
    for group in _sorted(set(groups.values()), edges):
        if group in values:
            continue
        # Every constant is ordered, so what bounds this group from above is known whatever comes between.
        above = [(fixed[group], strict) for group, strict in _above(group, edges) if group in fixed]
        below = [(values[left], not weak) for left, right, weak in edges if right == group and left in values]
        taken = {values[other] for pair in apart if group in pair for other in pair if other in values}
        values[group] = _between(below, above, taken)
    return values


_Bounds = Sequence[tuple[Fraction, bool]]


def _between(below: _Bounds, above: _Bounds, taken: set[Fraction]) -> Fraction:
    """Return a number within the bounds (each with whether it is left out itself) and not taken: a whole one if any."""

    def good(value: Fraction) -> bool:
        over = all(value > bound or (value == bound and not strict) for bound, strict in below)
        under = all(value < bound or (value == bound and not strict) for bound, strict in above)
        return over and under and value not in taken

    low = max((bound for bound, _ in below), default=None)
    high = min((bound for bound, _ in above), default=None)
    tries = [Fraction(0)] if low is None else [low]
    start = Fraction(low.__floor__() if low is not None else 0)
    tries += [start + step for step in range(len(taken) + 3)]
    if high is not None:
        tries += [high, *(Fraction(high.__ceil__() - 1 - step) for step in range(len(taken) + 2))]
    whole = [value for value in tries if value.denominator == 1 and good(value)]
    if whole:
        return min(whole, key=lambda value: (value < 0, abs(value)))
    base: Fraction = low if low is not None else (high or Fraction(0)) - 1
    width: Fraction = (high if high is not None else base + 1) - base
    halves = (base + width * Fraction(1, 2**part) for part in range(len(taken) + 4))
    return next(value for value in halves if good(value))


def _sorted(groups: set[int], edges: _Edges) -> list[int]:
    done: list[int] = []
    left = set(groups)
    while left:
        ready = sorted(one for one in left if not any(right == one and low in left for low, right, _ in edges))
        done += ready
        left -= set(ready)
    return done


def _above(group: int, edges: _Edges) -> set[tuple[int, bool]]:
    """Return the groups that lie above, each with whether it is strictly above on some way."""
    found: set[tuple[int, bool]] = set()
    waiting = [(group, False)]
    while waiting:
        one, strict = waiting.pop()
        for left, right, weak in edges:
            reached = (right, strict or not weak)
            if left == one and reached not in found:
                found.add(reached)
                waiting.append(reached)
    return found


def _plain(value: Fraction) -> Number:
    return int(value) if value.denominator == 1 else float(value)
