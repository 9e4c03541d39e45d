"""Python's regular expressions in RE2's syntax, as near to how they are written as their meaning allows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import re2

from protect.analysis import names
from protect.policy.questions import Operator, compiled

#: An escape, a class of characters, or one character.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def translated(pattern: str) -> str | None:
    """Return an expression of RE2 that is found in the same texts; None where none is known for certain."""
    for candidate in dict.fromkeys(_candidates(pattern)):
        try:
            compiled(candidate)
        except re2.error:
            continue
        ours, theirs = (Operator.MATCHES, candidate), (Operator.SEARCHES, pattern)
        if names([theirs], [ours]) is None and names([ours], [theirs]) is None:
            return candidate
    return None


def _candidates(pattern: str) -> Iterator[str]:
    yield pattern
    # In Python, `$` also stands before a line end that ends the text, and `\d` for the digits of every script.
    written = {"$": r"\n?$", r"\Z": r"\z", r"\d": f"[{_digits()}]", r"\D": f"[^{_digits()}]"}
    tokens = _TOKEN.findall(pattern)
    yield "".join(written["$"] if token == "$" else token for token in tokens)
    yield "".join(
        token.replace(r"\d", _digits()) if token[0] == "[" and r"\\" not in token else written.get(token, token)
        for token in tokens
    )


@cache
def _digits() -> str:
    codes = [code for code in range(0x110000) if chr(code).isdecimal()]
    starts = [code for code in codes if not chr(code - 1).isdecimal()]
    ends = [code for code in codes if not chr(code + 1).isdecimal()]
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in zip(starts, ends, strict=True))


def quoted(text: str) -> str:
    """Return the expression that is this text."""
    plain = (letter.isalnum() or letter in "_-" or ord(letter) > 127 for letter in text)
    return "".join(letter if is_plain else f"\\{letter}" for letter, is_plain in zip(text, plain, strict=True))
