"""Polar's tokens: a text cut into words, with what is no token reported at its exact place."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, TypeAlias

from protect.errors import Problem

_MAX_INTEGER: Final = 2**63 - 1

#: kind, text, start, end, line, column. The kind of a reserved word or an operator is its text; the other kinds
#: are "name", "string", "number" and "end". Plain tuples, because a file has a hundred thousand of them.
Token: TypeAlias = tuple[str, str, int, int, int, int]

RESERVED: Final = frozenset(
    {"and", "cut", "debug", "false", "forall", "if", "in", "inf", "isa", "matches", "mod", "nan", "new", "not", "or"}
    | {"print", "rem", "true", "type"}
)

#: Controls, line separators, invisible and direction characters, and halves of a character. They have no place in a
#: policy: they make a line read differently from what it says.
_HIDDEN: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff"
)
_HIDDEN_RUN: Final = re.compile(rf"[{_HIDDEN}]+|\r(?!\n)")

# One match is one token with what goes before it. Possessive repetition, so no text makes the match go back and
# try again. A name takes in any character that is not ASCII, to be reported as one name.
_TOKEN: Final = re.compile(
    rf"""
    (?: [ \t\r\n]++ | \#[^\r\n]*+ | [{_HIDDEN}]++ )*+
    (?: ( (?:[A-Za-z_]|[^\x00-\x7f{_HIDDEN}]) (?:[A-Za-z0-9_]|[^\x00-\x7f{_HIDDEN}])*+
          (?: (?:::)++(?:[A-Za-z0-9_]|[^\x00-\x7f{_HIDDEN}])++ )*+ \?? )  # 1 a name or a reserved word
      | ( "(?:[^"\\\n]|\\.|\\\Z)*+"? )                               # 2 a string, closed or not
      | ( //[^\r\n]*+ | /\*(?:[^*]|\*(?!/))*+(?:\*/)? )             # 3 a comment of another language
      | ( :=|==|!=|<=|>=|\?=|[-+*/=<>()\[\]{{}},;:.] )              # 4 an operator or bracket
      | ( [0-9]++(?:\.[0-9]*+)?+(?:[eE][0-9]*+[+-]?+[0-9]*+)?+ )    # 5 a number
      | ( '[^'\\\r\n]*+' | && | \|\| | . )                        # 6 what is no token
      | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME, _STRING, _FOREIGN_COMMENT, _OPERATOR, _NUMBER, _NO_TOKEN = range(1, 7)

_CLOSED_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"', re.DOTALL)
_FLOAT: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

#: What a token of another language is read as, so that one mistake is one problem; and what to write instead.
_FOREIGN: Final = {
    "&&": ("and", "write `and`"),
    "&": ("and", "write `and`"),
    "||": ("or", "write `or`"),
    "|": ("or", "write `or`"),
    "!": ("not", "write `not`"),
    "%": ("mod", "write `mod`"),
}
_QUOTES: Final = frozenset(map(chr, [0xAB, 0xB4, 0xBB, *range(0x2018, 0x2020)]))


def tokenize(text: str, file: str) -> tuple[list[Token], list[Problem]]:
    """Return the tokens of ``text``, the last of kind "end", and what is wrong with single characters and words."""
    reader = _Reader(text, file)
    return reader.tokens(), reader.problems


class _Reader:
    """Cuts a text into tokens. What is no token is reported and read as what was probably meant."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._file = file
        self._hidden()

    def tokens(self) -> list[Token]:
        tokens: list[Token] = []
        append = tokens.append
        text = self._text
        line, line_start = 1, 0
        line_end = text.find("\n")
        for match in _TOKEN.finditer(text):
            group = match.lastindex
            if group is None:
                break
            start, end = match.span(group)
            while -1 < line_end < start:
                line, line_start = line + 1, line_end + 1
                line_end = text.find("\n", line_start)
            word = match[group]
            column = start - line_start + 1
            if group == _OPERATOR:
                kind = word
            elif group == _STRING:
                kind = "string"
                if len(word) == 1 or word[-1] != '"' or "\\" in word:
                    word = self._string(word, line, column)
            elif group == _NAME:
                kind = word if word in RESERVED else "name"
                if not word.isascii():
                    self._confusable(word, line, column)
            elif group == _NUMBER:
                kind = "number"
                word = self._number(word, line, column)
            else:
                kind, word = self._no_token(word, line, column)
                if not kind:
                    continue
            append((kind, word, start, end, line, column))
        tokens.append(self._end())
        return tokens

    def _end(self) -> Token:
        end = len(self._text)
        line = self._text.count("\n") + 1
        column = end - (self._text.rfind("\n") + 1) + 1
        return ("end", "", end, end, line, column)

    def _report(self, line: int, column: int, message: str, advice: str = "") -> None:
        self.problems.append(Problem(self._file, line, column, message, advice))

    def _hidden(self) -> None:
        line, seen = 1, 0
        for match in _HIDDEN_RUN.finditer(self._text):
            start = match.start()
            line += self._text.count("\n", seen, start)
            seen = start
            column = start - self._text.rfind("\n", 0, start)
            if start == 0 and match[0] == "\ufeff":
                advice = "save it as UTF-8 without one"
                self._report(line, column, "the file starts with a byte order mark", advice)
            elif match[0] == "\r":
                # Oso takes it for the end of a comment, and most editors do not show it.
                self._report(line, column, "carriage return without a line feed", "end lines with a line feed")
            else:
                self._report(line, column, f"hidden character {_describe(match[0][0])}", "remove it")

    def _string(self, word: str, line: int, column: int) -> str:
        # Only a string that has an escape, or that is not closed, comes here.
        body, closed = _unescaped(word)
        if not closed:
            self._report(
                line,
                column,
                "the string is not closed on its line",
                'end it with `"`; a `"` inside a string is written `\\"`, a line end `\\n`',
            )
        return f'"{body}"'

    def _confusable(self, word: str, line: int, column: int) -> None:
        odd = next(index for index, character in enumerate(word) if not character.isascii())
        if word[odd] in _QUOTES:
            advice = 'strings stand in straight double quotes: `"text"`'
        else:
            advice = "names are made of the letters a to z, digits and `_`; any text may stand in a string"
        what = f"{_describe(word[odd])} in the name {quoted(word)}"
        self._report(line, column + odd, f"{what} is not ASCII", advice)

    def _number(self, word: str, line: int, column: int) -> str:
        if word.isdecimal():
            digits = word.lstrip("0")
            if len(digits) > 19 or int(digits or "0") > _MAX_INTEGER:
                advice = f"the largest is {_MAX_INTEGER}; write a larger number as a float, such as `1e20`"
                self._report(line, column, f"the integer {quoted(word)} is too large", advice)
                return "0"
        elif not _FLOAT.fullmatch(word):
            # Oso takes the sign behind an exponent as a part of it: `1e5-3` is no subtraction.
            advice = "an exponent reads `1e6` or `1e-6`; put spaces around a sign that is not part of it"
            self._report(line, column, f"{quoted(word)} is not a number", advice)
            return "0.0"
        return word

    def _no_token(self, word: str, line: int, column: int) -> tuple[str, str]:
        """Report what is no token; return the kind and text that it is read as, the kind empty for none."""
        if word[0] == "/":
            self._report(line, column, f"unexpected {quoted(word[:2])}", "a comment starts with `#`")
            return "", ""
        if word[0] == "'":
            message = f"unexpected {quoted(word)}" if len(word) > 1 else "unexpected `'`"
            self._report(line, column, message, 'use double quotes: `"text"`')
            return ("string", f'"{word[1:-1]}"') if len(word) > 1 else ("", "")
        kind, advice = _FOREIGN.get(word, ("", ""))
        if word == "`":
            advice = 'use double quotes: `"text"`'
        what = "backtick" if word == "`" else quoted(word)
        self._report(line, column, f"unexpected {what}", advice or "it means nothing in Polar; remove it")
        return kind, word


def _unescaped(word: str) -> tuple[str, bool]:
    """Return what a string says, and whether it is closed."""
    closed = _CLOSED_STRING.fullmatch(word) is not None
    body = word[1:-1] if closed else word[1:]
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), body), closed


def _describe(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name.lower()})" if name else "")


def quoted(text: str) -> str:
    """``text`` for a message, in backticks: one line, 40 characters at most, nothing that a terminal obeys."""
    short = text if len(text) <= 40 else text[:39] + "…"
    return f"`{_safe(short)}`"


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else f"\\u{ord(c):04x}" for c in text)
