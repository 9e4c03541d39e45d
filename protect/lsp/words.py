"""What stands at a place of a `.polar` file: what it means, where it is defined, what could stand there. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protect.convert.glance_targets import kinds
from protect.lint.known import actions
from protect.lint.polar_files import PolarFiles
from protect.lint.texts import Text
from protect.polar.syntax import Span
from protect.policy.vocabulary import RESOURCES, TYPES, Form, Word

_WORD = re.compile(r"\w+\??")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"?')
_DOT = re.compile(r"(\w+)\s*\.\s*\w*$")
_TYPED = re.compile(r"\b(\w+)\s*:\s*([A-Z]\w*)")

ENTRIES = {
    "allow": ("allow(subject: Subject, action, resource)", "Someone may. What no rule allows is denied."),
    "forbid": ("forbid(subject: Subject, action, resource)", "Nobody may who is forbidden, whatever allows it."),
    "discard": (
        "discard(subject: Subject, action, property: Property)",
        "Drop the property without a word instead of refusing. It never grants anything.",
    ),
}
_OPERATIONS = ("create", "read", "update", "delete")
#: Definitions that are shown, at most.
_MOST = 8


@dataclass(frozen=True, slots=True)
class Proposal:
    """One completion: ``snippet`` is what to insert, with `$1` for where the cursor goes."""

    label: str
    kind: str
    detail: str
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class At:
    """The word at an offset: ``before`` is the line up to it, ``quoted`` whether it stands in a text literal."""

    word: str
    start: int
    end: int
    before: str
    quoted: bool


def at(text: Text, offset: int) -> At | None:
    """Return the word, or the whole text literal, at an offset; None in comments and where nothing is."""
    line, column = text.place(offset)
    written = text.lines[line - 1]
    start = text.starts[line - 1]
    cursor = column - 1
    for quote in _QUOTED.finditer(written):
        if "#" in _QUOTED.sub("", written[: quote.start()]):
            return None
        if quote.start() < cursor < quote.end():
            word = quote[0].strip('"')
            return At(word, start + quote.start(), start + quote.end(), written[: quote.start()], quoted=True)
    if "#" in _QUOTED.sub("", written[:cursor]):
        return None
    for found in _WORD.finditer(written):
        if found.start() <= cursor <= found.end():
            return At(found[0], start + found.start(), start + found.end(), written[: found.start()], quoted=False)
    return None


def hover(files: PolarFiles, text: Text, offset: int) -> str:
    """Return what to say of the word at an offset, as Markdown; empty for nothing."""
    found = at(text, offset)
    if found is None:
        return ""
    if found.quoted:
        return _action(found.word)
    if found.before.rstrip().endswith("."):
        return _fact(found.word, _type_before(text, found.start))
    if found.word in ENTRIES:
        head, said = ENTRIES[found.word]
        return f"```polar\n{head}\n```\n{said}"
    if found.word in TYPES:
        words = ", ".join(f"`{word.usage.partition('.')[2]}`" for word in TYPES[found.word].values())
        return f"**{found.word}** has {words}"
    rules = files.rules_by_name().get(found.word, [])
    sources = "\n".join(files.source(rule.span) for rule in rules[:_MOST])
    more = f"\n\n… and {len(rules) - _MOST} more" if len(rules) > _MOST else ""
    return f"```polar\n{sources}\n```{more}" if sources else ""


def definitions(files: PolarFiles, text: Text, offset: int) -> list[Span]:
    """Return where the rules called as the word at an offset are defined."""
    found = at(text, offset)
    if found is None or found.quoted or found.before.rstrip().endswith("."):
        return []
    return [rule.name_span for rule in files.rules_by_name().get(found.word, [])]


def proposals(files: PolarFiles, text: Text, offset: int) -> list[Proposal]:
    """Return what could stand at an offset."""
    line, column = text.place(offset)
    before = text.lines[line - 1][: column - 1]
    bare = _QUOTED.sub("", before)
    if "#" in bare:
        return []
    if _QUOTED.sub(lambda one: "" if len(one[0]) > 1 and one[0].endswith('"') else one[0], before).count('"') % 2:
        return list(_actions())
    if _DOT.search(before):
        return list(_facts(_type_before(text, offset)))
    if re.search(r":\s*\w*$", before):
        return [Proposal(name, "type", "a type of resource") for name in ("Subject", *RESOURCES)]
    return [*_entries(), *_rules(files)]


def _action(word: str) -> str:
    if word in _OPERATIONS:
        return f"**{word}**: an operation on a `Property`"
    if word not in actions():
        return ""
    about = ", ".join(f"`{kind}`" for kind in kinds(word)) or "whatever the request names"
    return f"**{word}**: an action of Glance, asked about {about}"


def _fact(word: str, kind: str | None) -> str:
    lines = [
        f"- `{found.usage}`: {_holds(found)}"
        for name, words in TYPES.items()
        if (found := words.get(word)) is not None and kind in (None, name)
    ]
    return "\n".join(dict.fromkeys(lines))


def _holds(word: Word) -> str:
    if word.target:
        return f"the {word.target}"
    return f"{word.kind}{', compared without case' if word.folded else ''}"


def _type_before(text: Text, offset: int) -> str | None:
    """Return the type of what stands before the dot at an offset; None where that is not known."""
    start = text.content.rfind(";", 0, offset) + 1
    rule = text.content[start:offset]
    found = _DOT.search(rule)
    if found is None:
        return None
    variable = found[1]
    if rule[: found.start()].rstrip().endswith("."):
        return "Image" if variable == "image" else None
    typed = {name: kind for name, kind in _TYPED.findall(rule) if kind in TYPES}
    return typed.get(variable) or (variable.title() if variable.title() in TYPES else None)


def _facts(kind: str | None) -> Iterator[Proposal]:
    met: set[str] = set()
    for name in [kind] if kind else TYPES:
        for word, found in TYPES[name].items():
            if word not in met:
                met.add(word)
                yield Proposal(word, "fact", f"{found.usage}: {_holds(found)}", _snippet(word, found))


def _snippet(name: str, word: Word) -> str:
    if word.form is Form.ATTRIBUTE:
        return name
    return f"{name}(subject)" if name == "shared_with" else f'{name}("$1")'


def _actions() -> Iterator[Proposal]:
    for operation in _OPERATIONS:
        yield Proposal(operation, "action", "on a Property")
    for action in sorted(actions() - {*_OPERATIONS}):
        yield Proposal(action, "action", f"on {', '.join(kinds(action)) or 'whatever the request names'}")


def _entries() -> Iterator[Proposal]:
    for name, (head, said) in ENTRIES.items():
        third = head.rpartition(", ")[2].rstrip(")")
        third = "image: Image" if third == "resource" else third
        yield Proposal(name, "rule", said, f'{name}(subject: Subject, "$1", {third}) if\n    $0;')


def _rules(files: PolarFiles) -> Iterator[Proposal]:
    for name, rules in sorted(files.rules_by_name().items()):
        if name not in ENTRIES:
            yield Proposal(name, "rule", " ".join(files.source(rules[0].span).split())[:120])
