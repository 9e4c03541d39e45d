"""A check of characters that deceive a reader: that are not seen, or look like those of another alphabet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from protect.lint.catalogue import Check, Form
from protect.lint.findings import Finding, Severity
from protect.lint.texts import Text
from protect.polar.tokens import tokenize

_OWN: Final = "create = admin\nread = @\nupdate = admin\ndelete = admin\n\n"
_REST: Final = "[.*]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n"

DECEPTIVE = Check(
    "PE510",
    "deceptive-character",
    Severity.SECURITY,
    Form.PROTECTION,
    "a character that is not seen, or a letter of another alphabet within a word",
    "The word looks like one that is known, and is another: what it names is not protected, or nobody has that role.",
    f"[^build_numb\u0435r$]\n{_OWN}{_REST}",
    f"[^build_number$]\n{_OWN}{_REST}",
    "Type the word anew. A word that is wholly of another alphabet is no finding.",
)

_WORD: Final = re.compile(r"[^\W\d_]+")
#: Alphabets with letters that look like Latin ones, as Unicode names them.
_ALIKE: Final = ("CYRILLIC ", "GREEK ", "ARMENIAN ", "CHEROKEE ", "COPTIC ", "FULLWIDTH ", "MATHEMATICAL ")


def in_strings(text: Text) -> Iterator[Finding]:
    """Yield what deceives in the strings of a `.polar` file; of anything else there, the parser says it."""
    if text.content.isascii():
        return
    tokens, _ = tokenize(text.content, text.file)
    for token in tokens:
        if token[0] == "string":
            yield from _mixed(text, token[2], token[3])


def in_lines(text: Text, comment: str) -> Iterator[Finding]:
    """Yield what deceives in a file whose comments are lines that begin with one of the signs ``comment``."""
    if text.content.isascii():
        return
    for line, start in zip(text.lines, text.starts, strict=True):
        commented = line.lstrip()[:1] in tuple(comment)
        for place, letter in enumerate(line, start):
            # A byte order mark is no part of the text.
            if place and unicodedata.category(letter) in ("Cf", *(() if commented else ("Zs",))) and letter != " ":
                message = f"a character that is not seen: {_called(letter)}"
                yield DECEPTIVE.at(text.span(place, place + 1), message, "take it out", subject=line)
        if not commented:
            yield from _mixed(text, start, start + len(line))


def _mixed(text: Text, start: int, end: int) -> Iterator[Finding]:
    for word in _WORD.finditer(text.content, start, end):
        odd = next((letter for letter in word[0] if unicodedata.name(letter, "").startswith(_ALIKE)), None)
        if odd is not None and any(unicodedata.name(letter, "").startswith("LATIN ") for letter in word[0]):
            message = f"`{word[0]}` mixes alphabets: {_called(odd)}"
            yield DECEPTIVE.at(text.span(*word.span()), message, "type the word anew", subject=word[0])


def _called(letter: str) -> str:
    return f"U+{ord(letter):04X} ({unicodedata.name(letter, 'without a name').lower()})"
