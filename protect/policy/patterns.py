"""Regular expressions as Python's ``re`` reads them, searched by RE2 wherever that comes to the same.

Python's engine tries alternatives one after the other: a pattern such as ``(a+)+$`` keeps it busy for hours with a name
of forty letters, and names come from tenants. RE2 takes time linear in the name. The two differ in what ``$``, ``\\d``,
``\\w`` and ``\\s`` mean, so nothing is handed over as it is written: the pattern is parsed by Python's own parser and
written anew for RE2, character by character. What cannot be said there (look-around, back-references, flags, ``\\b``)
stays with Python.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import re2

Search = Callable[[str], bool]

#: No name of a property is longer, in code points. Python's engine is given nothing longer.
LONGEST_NAME = 255

_BEYOND_UNICODE = 0x110000
_SURROGATES = (0xD800, 0xDFFF)
_PLAIN = re.UNICODE.value

#: What raises when a pattern cannot be compiled: the last two for absurd sizes and depths.
MALFORMED = (re.error, OverflowError, RecursionError)


class _Untranslatable(Exception):
    """RE2 has no words for this pattern."""


def parse(pattern: str) -> re.Pattern[str]:
    """Return the pattern compiled by Python. Raises one of ``MALFORMED``."""
    with warnings.catch_warnings():
        # Python warns about what later versions may read otherwise; that is for whoever checks the policy.
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def searcher(pattern: str) -> Search:
    """Return the function that says whether ``pattern`` is found in a text. Raises one of ``MALFORMED``.

    The function raises ValueError for what it will not search: more than ``LONGEST_NAME`` characters, where only
    Python's engine understands the pattern, and text that is not Unicode, where RE2 does.
    """
    compiled = parse(pattern)
    return linear(compiled) or _guarded(compiled.search)


def linear(compiled: re.Pattern[str]) -> Search | None:
    """Return a search in linear time that finds what ``compiled`` finds, or None where RE2 has no words for it."""
    try:
        whole, shorter = (_re2(_Writer(compiled, before_newline=before).written()) for before in (False, True))
    except (_Untranslatable, RecursionError, re2.error):
        return None

    def found(text: str) -> bool:
        if whole(text) is not None:
            return True
        # Python's `$` also stands before a newline that ends the text.
        return text.endswith("\n") and shorter(text[:-1]) is not None

    return found


def _re2(pattern: str) -> Callable[[str], object]:
    options = re2.Options()
    options.log_errors = False
    search: Callable[[str], object] = re2.compile(pattern, options).search
    return search


def _guarded(search: Callable[[str], object]) -> Search:
    def found(text: str) -> bool:
        if len(text) > LONGEST_NAME:
            raise ValueError("longer than any name")
        return search(text) is not None

    return found


def repeats_within_repeats(compiled: re.Pattern[str]) -> bool:
    """Whether something without a bound is repeated without a bound: often time exponential in the name's length."""
    try:
        return _nested(_tree(compiled), inside=False)
    except RecursionError:
        return True


def _nested(items: Iterable[Any], *, inside: bool) -> bool:
    for operator, argument in items:
        name = str(operator)
        repeat = name.endswith("_REPEAT") and int(argument[1]) > LONGEST_NAME
        if repeat and inside:
            return True
        if any(_nested(part, inside=inside or repeat) for part in _parts(argument)):
            return True
    return False


def _parts(argument: Any) -> Iterator[Any]:
    """Yield the sequences of items inside an item of the parse tree."""
    if hasattr(argument, "data"):
        yield argument
    elif isinstance(argument, list | tuple):
        for one in argument:
            yield from _parts(one)


def _tree(compiled: re.Pattern[str]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _python(compiled.pattern)


def doubts(compiled: re.Pattern[str]) -> list[str]:
    """Return what Python warns about: signs that a later version may read otherwise."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _python(compiled.pattern)
    return [str(warning.message) for warning in caught]


def _python(pattern: str) -> Any:
    # Python's own parser, though not a public one: it alone knows for sure what Python reads.
    return import_module("re._parser").parse(pattern)


class _Writer:
    """Writes one parse tree for RE2, with ``$`` as the end of the text.

    Names that end in a newline are searched a second time without it; ``before_newline`` is for that search, where the
    text's real end (``\\Z``) is out of reach. That is right because nothing may follow a ``$`` but the end of the
    pattern: a path either ends at the ``$`` before the newline, or never looks at it.
    """

    def __init__(self, compiled: re.Pattern[str], *, before_newline: bool) -> None:
        if compiled.flags != _PLAIN:
            raise _Untranslatable
        self._tree = _tree(compiled)
        self._before_newline = before_newline

    def written(self) -> str:
        return self._sequence(self._tree, last=True)

    def _sequence(self, items: Iterable[Any], *, last: bool) -> str:
        items = list(items)
        return "".join(
            self._item(str(operator), argument, last=last and index == len(items) - 1)
            for index, (operator, argument) in enumerate(items)
        )

    def _item(self, operator: str, argument: Any, *, last: bool) -> str:
        match operator:
            case "LITERAL":
                return _characters([(argument, argument)])
            case "NOT_LITERAL":
                return _characters([(argument, argument)], negated=True)
            case "ANY":
                return _characters([(10, 10)], negated=True)
            case "IN":
                return self._class(argument)
            case "BRANCH":
                return "(?:" + "|".join(self._sequence(branch, last=last) for branch in argument[1]) + ")"
            case "SUBPATTERN":
                _, added, removed, inner = argument
                if added or removed:
                    raise _Untranslatable
                return f"(?:{self._sequence(inner, last=last)})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(*argument)
            case "AT":
                return self._place(str(argument), last=last)
        raise _Untranslatable

    def _repeat(self, least: int, most: object, inner: Any) -> str:
        bound = "" if str(most) == "MAXREPEAT" else str(most)
        return f"(?:{self._sequence(inner, last=False)}){{{least},{bound}}}"

    def _place(self, place: str, *, last: bool) -> str:
        if place in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return r"\A"
        if not last or place not in ("AT_END", "AT_END_STRING"):
            raise _Untranslatable
        return _NEVER if place == "AT_END_STRING" and self._before_newline else r"\z"

    def _class(self, members: Sequence[Any]) -> str:
        ranges: list[tuple[int, int]] = []
        negated = False
        for operator, argument in members:
            match str(operator):
                case "NEGATE":
                    negated = True
                case "LITERAL":
                    ranges.append((argument, argument))
                case "RANGE":
                    ranges.append(argument)
                case "CATEGORY":
                    ranges += _category(str(argument))
                case _:
                    raise _Untranslatable
        return _characters(ranges, negated=negated)


_NEVER = r"[^\x{0}-\x{10FFFF}]"

_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdecimal,
    "SPACE": str.isspace,
    "WORD": lambda character: character.isalnum() or character == "_",
}


@cache
def _category(name: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a category, such as ``CATEGORY_NOT_DIGIT``, as this Python's Unicode has them."""
    *negated, kind = name.removeprefix("CATEGORY_").split("_")
    belongs = _CATEGORIES.get(kind)
    if belongs is None or negated not in ([], ["NOT"]):
        raise _Untranslatable
    ranges: list[tuple[int, int]] = []
    start = None
    for code in range(_BEYOND_UNICODE + 1):
        inside = (
            code < _BEYOND_UNICODE
            and not _SURROGATES[0] <= code <= _SURROGATES[1]
            and belongs(chr(code)) is not bool(negated)
        )
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append((start, code - 1))
            start = None
    return tuple(ranges)


def _characters(ranges: Iterable[tuple[int, int]], *, negated: bool = False) -> str:
    """Write a class of characters by their numbers, so that nothing in it can be read otherwise."""
    written = []
    for low, high in ranges:
        if low <= _SURROGATES[1] and high >= _SURROGATES[0]:
            raise _Untranslatable
        written.append(f"\\x{{{low:X}}}" + (f"-\\x{{{high:X}}}" if high > low else ""))
    return f"[{'^' if negated else ''}{''.join(written)}]"
