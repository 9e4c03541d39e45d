"""A text that fits patterns and constants: found by automata, and always tried with the engines that decide."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import re2

from protect.analysis.automata import Endless, Machine, Unsupported, machine, shortest
from protect.policy.patterns import MALFORMED, searcher
from protect.policy.questions import Operator, matcher

#: ``MATCHES`` and RE2's syntax, or ``SEARCHES`` and Python's.
Pattern = tuple[Operator, str]


@dataclass(frozen=True, slots=True)
class CannotSay:
    """Neither an example was found nor the proof that there is none; ``why`` in words."""

    why: str


@lru_cache(maxsize=4096)
def finder(pattern: Pattern) -> Callable[[str], bool]:
    """Return the search that decisions use. It may raise ValueError for what it will not search."""
    operator, text = pattern
    return matcher(text) if operator is Operator.MATCHES else searcher(text)


def fits(text: str, found_in: Iterable[Pattern], not_in: Iterable[Pattern]) -> bool:
    """Whether all of ``found_in`` and none of ``not_in`` are found in ``text``. False where that cannot be tried."""
    try:
        return all(finder(one)(text) for one in found_in) and not any(finder(one)(text) for one in not_in)
    except (ValueError, re2.error, *MALFORMED):
        return False


def names(
    found_in: Iterable[Pattern] = (), not_in: Iterable[Pattern] = (), other_than: Collection[str] = ()
) -> str | CannotSay | None:
    """Return a text in which each of ``found_in`` is found, none of ``not_in``, and that is not in ``other_than``.

    None is the proof that there is none.
    """
    return _names(tuple(dict.fromkeys(found_in)), tuple(dict.fromkeys(not_in)), frozenset(other_than))


@lru_cache(maxsize=16_384)
def _names(
    wanted: tuple[Pattern, ...], unwanted: tuple[Pattern, ...], other_than: frozenset[str]
) -> str | CannotSay | None:
    if set(wanted) & set(unwanted):
        return None
    for text in _plain(wanted):
        if text not in other_than and fits(text, wanted, unwanted):
            return text
    try:
        return _searched(wanted, unwanted, other_than)
    except Unsupported as error:
        return _tried(wanted, unwanted, other_than, f"{error}: beyond the proofs made here")
    except Endless:
        return _tried(wanted, unwanted, other_than, "the patterns are too large together to be compared")


def _searched(
    wanted: tuple[Pattern, ...], unwanted: tuple[Pattern, ...], other_than: frozenset[str]
) -> str | CannotSay | None:
    """Search with what must be found, and with those that must not be as they turn out to be in the way.

    Where there is no text with some of them left out, there is none with all of them either.
    """
    yes = [automaton(one) for one in wanted]
    against: list[Pattern] = []
    # A text that is taken is in the way only if it would fit.
    taken = [text for text in other_than if fits(text, wanted, ())]
    while True:
        found = shortest(yes, [automaton(one) for one in against], taken)
        if found is None:
            return None
        for text in (found + "x", found) if not found[-1:].isalnum() else (found, found + "x"):
            if text not in other_than and fits(text, wanted, unwanted):
                return text
        more = [one for one in unwanted if one not in against and not fits(found, (), (one,))]
        if not more:
            return CannotSay("the patterns mean something else to the engine that decides")
        # One by one: the first that is in the way often is the only one.
        against.append(more[0])


def automaton(pattern: Pattern) -> Machine:
    """Return the automaton of a pattern. Raises Unsupported."""
    operator, text = pattern
    return machine(text, "re2" if operator is Operator.MATCHES else "python")


def _plain(wanted: Sequence[Pattern]) -> Iterator[str]:
    """Yield names that read well, to be tried first."""
    yield from ("some_name", "x") if not wanted else ()


def _tried(wanted: Sequence[Pattern], unwanted: Sequence[Pattern], taken: Collection[str], why: str) -> str | CannotSay:
    """Try what the patterns that are understood suggest, where others are not."""
    suggestions = ["some_name", "x", "0", "_", ""]
    for one in wanted:
        suggestions.append(one[1].strip("^$\\bAzZ"))
        try:
            found = shortest([automaton(one)], [])
        except (Unsupported, Endless):
            continue
        if found is not None:
            suggestions += [found, found + "x", "x" + found, f"x_{found}_x"]
    for text in suggestions:
        if text not in taken and fits(text, wanted, unwanted):
            return text
    return CannotSay(why)
