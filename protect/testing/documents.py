"""A YAML file as a tree that knows where everything stands, and collects every mistake on the way.

Strict where YAML is not: a key that stands twice, an alias, a second document, text that YAML would take for something
else, and a key that nobody knows are mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from protect.errors import ConfigError, Problem, ProtectError
from protect.spelling import nearest

#: How deep a file may be nested.
MOST_LEVELS = 30

#: How many known words a message lists.
LISTED = 12

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


class SuiteError(ProtectError):
    """Test files cannot be used. ``problems`` lists every mistake that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Mistakes:
    """The mistakes of one file."""

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.lines = text.split("\n")
        self.problems: list[Problem] = []

    def add(self, line: int, column: int, message: str, help: str = "") -> None:
        """Note a mistake; the same one of the same place only once."""
        problem = Problem(self.file, line, column, message, help)
        if problem not in self.problems:
            self.problems.append(problem)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a file. ``line`` and ``column`` count from 1. Reading it as what it is not is a mistake."""

    raw: Any
    mistakes: Mistakes

    @property
    def line(self) -> int:
        """Where it begins."""
        return int(self.raw.start_mark.line) + 1

    @property
    def column(self) -> int:
        """Where it begins."""
        return int(self.raw.start_mark.column) + 1

    def mistake(self, message: str, help: str = "") -> None:
        """Note a mistake of this place."""
        self.mistakes.add(self.line, self.column, message, help)

    def is_map(self) -> bool:
        """Whether it has keys."""
        return bool(self.raw.id == "mapping")

    def is_list(self) -> bool:
        """Whether it is a list."""
        return bool(self.raw.id == "sequence")

    def text(self, what: str) -> str | None:
        """Return the text; None, with a mistake noted, where it is none."""
        if self.raw.id != "scalar":
            self.mistake(f"{what} is text, and this is {self._described()}", "write one word or a text in quotes")
        elif self.raw.tag not in (f"{_TAG}str", f"{_TAG}timestamp"):
            help = f"put it in quotes: `'{self.raw.value}'`" if self.raw.value else "write it, or take the key out"
            self.mistake(f"{what} is text, and YAML takes this for {self._described()}", help)
        elif not self.raw.value.strip():
            self.mistake(f"{what} is empty", "write it, or take the key out")
        else:
            return str(self.raw.value)
        return None

    def optional_text(self, what: str) -> str | None:
        """Return the text; None for ``null``, which is a value that is not there."""
        return None if self.is_null() else self.text(what)

    def is_null(self) -> bool:
        """Whether it is ``null``."""
        return bool(self.raw.id == "scalar" and self.raw.tag == f"{_TAG}null")

    def truth(self, what: str) -> bool:
        """Return whether it is ``true``."""
        if self.raw.id == "scalar" and self.raw.value in ("true", "false") and self.raw.tag == f"{_TAG}bool":
            return bool(self.raw.value == "true")
        self.mistake(f"{what} is `true` or `false`, and this is {self._described()}")
        return False

    def number(self, what: str) -> int | None:
        """Return the whole number, or None for ``null``."""
        if self.is_null():
            return None
        if self.raw.id == "scalar" and self.raw.style is None and _INTEGER.fullmatch(self.raw.value):
            return int(self.raw.value)
        self.mistake(f"{what} is a whole number, and this is {self._described()}")
        return None

    def value(self, what: str) -> object:
        """Return a value as JSON has them: text, a number, true, false, null, or a list or an object of these."""
        if self.is_list():
            return [item.value(what) for item in self.items(what)]
        if self.is_map():
            return {key: node.value(what) for key, _, node in self.pairs(what)}
        tag, text = self.raw.tag.removeprefix(_TAG), str(self.raw.value)
        if tag in ("str", "timestamp"):
            return text
        if tag == "null":
            return None
        if tag == "bool" and text in ("true", "false"):
            return text == "true"
        if tag == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if tag == "float" and re.fullmatch(r"-?[0-9]+\.[0-9]+([eE][-+]?[0-9]+)?", text):
            return float(text)
        self.mistake(f"`{text}` can be read in two ways", f"put text in quotes: `'{text}'`")
        return None

    def items(self, what: str, *, one: bool = False) -> Iterator[Node]:
        """Yield what is in the list; with ``one``, a single value stands for a list of it."""
        if self.is_list():
            for raw in self.raw.value:
                yield Node(raw, self.mistakes)
        elif one and self.raw.id == "scalar":
            yield self
        else:
            self.mistake(f"{what} is a list, and this is {self._described()}", "write `[one, another]`")

    def texts(self, what: str) -> list[tuple[str, Node]]:
        """Return the texts of a list, or the one text, each with its place."""
        found = [(item.text(what), item) for item in self.items(what, one=True)]
        return [(text, item) for text, item in found if text is not None]

    def pairs(self, what: str) -> Iterator[tuple[str, Node, Node]]:
        """Yield each key, its place, and its value. A key that stands twice is a mistake, and so is one not text."""
        if not self.is_map():
            self.mistake(f"{what} has keys, and this is {self._described()}", "write `key: value`")
            return
        seen: dict[str, int] = {}
        for raw_key, raw_value in self.raw.value:
            key = Node(raw_key, self.mistakes)
            if raw_key.id != "scalar" or not raw_key.value:
                key.mistake("a key is one word or a text", "write `key: value`")
            elif raw_key.tag == f"{_TAG}merge":
                key.mistake("`<<` is not read here", "write it out")
            elif raw_key.value in seen:
                key.mistake(f"`{raw_key.value}` stands here already, in line {seen[raw_key.value]}", "keep one of them")
            else:
                seen[raw_key.value] = key.line
                yield raw_key.value, key, Node(raw_value, self.mistakes)

    def fields(self, what: str, known: Iterable[str], needed: Iterable[str] = ()) -> dict[str, Node]:
        """Return the values by key. An unknown key is a mistake, and so is a needed one that is not there."""
        known = tuple(known)
        found: dict[str, Node] = {}
        for key, place, value in self.pairs(what):
            if key in known:
                found[key] = value
            else:
                place.mistake(f"{what} has no `{key}`", suggestion(key, known))
        if self.is_map():
            for key in needed:
                if key not in found:
                    self.mistake(f"{what} needs `{key}`")
        return found

    def _described(self) -> str:
        if self.raw.id != "scalar":
            return "a list" if self.is_list() else "a mapping"
        kinds = {"null": "nothing", "bool": "true or false", "int": "a number", "float": "a number", "str": "text"}
        tag = self.raw.tag.removeprefix(_TAG)
        return f"{kinds.get(tag, 'something else')} (`{self.raw.value}`)" if self.raw.value else kinds.get(tag, tag)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean …`` where a known word is near, else the known words."""
    words = sorted(known)
    near = nearest(word, words)
    if near:
        return f"did you mean `{near}`?"
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return f"known: {', '.join(words[:LISTED])}{more}" if words else "there is none"


def library() -> Any:
    """Return PyYAML. Raises ConfigError where it is not installed."""
    try:
        return import_module("yaml")
    except ImportError:
        raise ConfigError("tests cannot be read without PyYAML; pip install PyYAML") from None


def parse(text: str, mistakes: Mistakes) -> Node | None:
    """Return the one document of a file; None, with the mistake noted, where YAML cannot be read."""
    yaml = library()
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > MOST_LEVELS:
                what = "nested too deeply" if depth > MOST_LEVELS else f"the alias `*{event.anchor}` is not read here"
                mistakes.add(event.start_mark.line + 1, event.start_mark.column + 1, what, "write it out")
                return None
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        mistakes.add(0, 0, "nested too deeply", "write it out")
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        said = getattr(error, "problem", None) or str(error).split("\n")[0]
        mistakes.add(line, column, f"not YAML: {said}")
        return None
    if root is None:
        mistakes.add(0, 0, "the file is empty", "begin with `tests:`")
        return None
    return Node(root, mistakes)


def named(node: Node, known: Mapping[str, Any] | Iterable[str], what: str) -> str | None:
    """Return the name that the node says, where it is known."""
    name = node.text(what)
    if name is None:
        return None
    if name not in known:
        node.mistake(f"there is no {what} `{name}`", suggestion(name, known))
        return None
    return name


def chosen(node: Node, known: Iterable[str], what: str) -> list[tuple[str, Node]]:
    """Return the names of a list; ``*`` is all that are known."""
    names = list(known)
    if node.raw.id == "scalar" and node.raw.value == "*":
        return [(name, node) for name in names]
    found = [(named(item, names, what), item) for item in node.items(f"a list of {what}s", one=True)]
    return [(name, item) for name, item in found if name is not None]
