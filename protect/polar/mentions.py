"""Which texts a policy mentions, and which of them it treats alike.

Two texts that occur only in facts (``magic("a"); magic("b");``) or in lists behind ``in``, and in the same places of
the same ones, are *twins*: swapping them leaves the policy as it is, so what it answers about one it answers about the
other. One interview serves ten thousand of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from protect.polar.flow import meetings
from protect.polar.syntax import (
    InlineQuery,
    List,
    Literal,
    Operation,
    Parameter,
    Rule,
    ShorthandRule,
    Statement,
    Term,
    TypeDeclaration,
    inside,
)


@dataclass(slots=True)
class Mentions:
    """``names`` may be compared with a property's name, ``actions`` with the action.

    ``crossing``: a rule may compare the name with the action.
    """

    names: frozenset[str]
    actions: frozenset[str]
    crossing: bool
    _places: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))
    _classes: dict[str, object] = field(default_factory=dict)
    _folded: dict[str, set[object]] = field(default_factory=dict)

    def __contains__(self, text: str) -> bool:
        return text in self._places

    def twin(self, text: str) -> object:
        """Return the class of ``text``: equal for texts that the policy treats alike, and for no others."""
        known = self._classes.get(text)
        if known is None:
            places = self._places.get(text)
            known = self._classes[text] = frozenset(places) if places else text
        return known

    def speaks_of(self, text: str, twins: object) -> bool:
        """Whether ``text``, in a graph, is one of these twins, or one of them folded to lower case as roles are."""
        if not self._folded:
            for mentioned in self._places:
                self._folded.setdefault(mentioned.lower(), set()).add(self.twin(mentioned))
        return self.twin(text) == twins or twins in self._folded.get(text, ())

    def classes(self, texts: Iterable[str]) -> list[list[str]]:
        """Group ``texts`` into classes of twins, in a stable order."""
        groups: dict[object, list[str]] = {}
        for text in sorted(texts):
            groups.setdefault(self.twin(text), []).append(text)
        return list(groups.values())

    def note(self, text: str, place: object) -> None:
        """Take note that ``text`` stands at ``place``: equal places are those between which texts may be swapped."""
        self._places[text].add(place)


def mentions(statements: Sequence[Statement]) -> Mentions:
    """Return the texts that the policy mentions."""
    meeting = meetings(statements)
    found = Mentions(meeting.names, meeting.actions, meeting.crossing)
    for statement in statements:
        if isinstance(statement, InlineQuery | TypeDeclaration):
            continue
        if isinstance(statement, Rule) and _is_fact(statement):
            _fact(found, statement)
        else:
            _inside(found, statement)
    return found


def _is_fact(rule: Rule) -> bool:
    return rule.body is None and all(
        isinstance(parameter.term, Literal) and parameter.specializer is None for parameter in rule.parameters
    )


def _fact(found: Mentions, rule: Rule) -> None:
    values = [parameter.term.value for parameter in rule.parameters if isinstance(parameter.term, Literal)]
    for index, value in enumerate(values):
        if isinstance(value, str):
            others = tuple("\0self" if other == value else (type(other).__name__, other) for other in values)
            found.note(value, ("fact", rule.name, index, others))


def _inside(found: Mentions, node: Statement | ShorthandRule | Parameter | Term) -> None:
    if isinstance(node, ShorthandRule):
        found.note(node.head, ("alone", node.head))
    for part in inside(node):
        if isinstance(part, Parameter | ShorthandRule):
            _inside(found, part)
        else:
            _term(found, part)


def _term(found: Mentions, term: Term) -> None:
    listed = _texts(term.operands[1]) if isinstance(term, Operation) and term.operator == "in" else None
    if isinstance(term, Literal):
        if isinstance(term.value, str):
            found.note(term.value, ("alone", term.value))
    elif isinstance(term, Operation) and listed is not None:
        _term(found, term.operands[0])
        for text in listed:
            found.note(text, ("in", term.operands[1].span))
    else:
        _inside(found, term)


def _texts(term: Term) -> list[str] | None:
    """Return the items of a list of nothing but text."""
    if not isinstance(term, List) or term.rest is not None:
        return None
    texts = [item.value for item in term.items if isinstance(item, Literal) and isinstance(item.value, str)]
    return texts if len(texts) == len(term.items) else None
