"""Which texts a policy mentions, where they can matter, and which of them it treats alike.

Two texts that occur only in facts (``magic("a"); magic("b");``) or in lists behind ``in``, and in the same places of
the same ones, are *twins*: swapping them leaves the policy as it is, so what it answers about one it answers about the
other. One interview serves ten thousand of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from protect.polar.check import ENTRY_POINTS
from protect.polar.syntax import (
    Dot,
    InlineQuery,
    List,
    Literal,
    Operation,
    Parameter,
    Pattern,
    Rule,
    ShorthandRule,
    Statement,
    Term,
    TypeDeclaration,
    Variable,
    inside,
    walk,
)

_EQUALITIES = ("=", ":=", "==", "!=")


@dataclass(slots=True)
class Mentions:
    """``names`` may be compared with a property's name, ``actions`` with the action.

    ``passed`` may be compared with an action that a rule passes on; where one does, ``action_travels``, and the action
    may meet whatever a name can meet, even the name itself.
    """

    names: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    action_travels: bool = False
    _places: dict[str, set[object]] = field(default_factory=lambda: defaultdict(set))
    _classes: dict[str, object] = field(default_factory=dict)
    _folded: dict[str, set[object]] = field(default_factory=dict)

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

    def _note(self, text: str, place: object, *, name: bool, action: bool = False, passed: bool = False) -> None:
        self._places[text].add(place)
        for matters, texts in ((name, self.names), (action, self.actions), (passed, self.passed)):
            if matters:
                texts.add(text)

    def _alone(self, text: str, *, name: bool, action: bool = False, passed: bool = False) -> None:
        self._note(text, ("alone", text), name=name, action=action, passed=passed)


def mentions(statements: Sequence[Statement]) -> Mentions:
    """Return the texts that the policy mentions."""
    found = Mentions()
    for statement in statements:
        if isinstance(statement, InlineQuery | TypeDeclaration):
            continue
        if isinstance(statement, Rule) and _is_fact(statement):
            _fact(found, statement)
            continue
        if isinstance(statement, Rule) and statement.name in ENTRY_POINTS and len(statement.parameters) == 3:
            subject, action, resource = statement.parameters
            if isinstance(action.term, Literal) and isinstance(action.term.value, str):
                found._alone(action.term.value, name=False, action=True)
            else:
                _inside(found, action)
            _inside(found, subject)
            _inside(found, resource)
            if statement.body is not None:
                _term(found, statement.body)
            continue
        _inside(found, statement)
    if any(_passes_action_on(statement) for statement in statements if isinstance(statement, Rule)):
        found.action_travels = True
        found.actions |= found.passed | found.names
    return found


def _passes_action_on(rule: Rule) -> bool:
    """Whether an entry point does more with its action than compare it with texts in place."""
    if rule.name not in ENTRY_POINTS or len(rule.parameters) != 3 or rule.body is None:
        return False
    action = rule.parameters[1].term
    if not isinstance(action, Variable):
        return not isinstance(action, Literal)
    uses = compared = 0
    for term in walk(rule.body):
        uses += isinstance(term, Variable) and term.name == action.name
        if isinstance(term, Operation) and len(term.operands) == 2:
            left, right = term.operands
            if term.operator == "in":
                compared += _is(left, action) and _texts(right) is not None
            elif term.operator in _EQUALITIES:
                compared += (_is(left, action) and isinstance(right, Literal)) or (
                    _is(right, action) and isinstance(left, Literal)
                )
    return uses != compared


def _is(term: Term, variable: Variable) -> bool:
    return isinstance(term, Variable) and term.name == variable.name


def _is_fact(rule: Rule) -> bool:
    return rule.body is None and all(
        isinstance(parameter.term, Literal) and parameter.specializer is None for parameter in rule.parameters
    )


def _fact(found: Mentions, rule: Rule) -> None:
    values = [parameter.term.value for parameter in rule.parameters if isinstance(parameter.term, Literal)]
    for index, value in enumerate(values):
        if isinstance(value, str):
            others = tuple("\0self" if other == value else (type(other).__name__, other) for other in values)
            found._note(value, ("fact", rule.name, index, others), name=True, passed=True)


def _inside(found: Mentions, node: Statement | ShorthandRule | Parameter | Term) -> None:
    if isinstance(node, ShorthandRule):
        found._alone(node.head, name=True, action=True, passed=True)
    for part in inside(node):
        if isinstance(part, Parameter | ShorthandRule):
            _inside(found, part)
        else:
            _term(found, part)


def _term(found: Mentions, term: Term) -> None:
    """Note the texts in ``term``, and to what they can be compared."""
    match term:
        case Literal():
            if isinstance(term.value, str):
                found._alone(term.value, name=True, passed=True)
        case Dot():
            # What a method is called with is compared with roles, tags, … only.
            _term(found, term.base)
            for argument in term.arguments or ():
                if isinstance(argument, Literal) and isinstance(argument.value, str):
                    found._alone(argument.value, name=False)
                else:
                    _term(found, argument)
        case Pattern():
            for key, value in term.fields.fields if term.fields else ():
                if isinstance(value, Literal) and isinstance(value.value, str):
                    found._alone(value.value, name=key == "name")
                else:
                    _term(found, value)
        case Operation() if term.operator in _EQUALITIES:
            for operand, other in (term.operands, term.operands[::-1]):
                if isinstance(operand, Literal) and isinstance(operand.value, str) and isinstance(other, Dot):
                    found._alone(operand.value, name=_may_be_name(other))
                elif isinstance(operand, Literal) and isinstance(operand.value, str) and isinstance(other, Variable):
                    found._alone(operand.value, name=True, action=True, passed=True)
                else:
                    _term(found, operand)
        case Operation() if term.operator == "in" and _texts(term.operands[1]) is not None:
            member, listed = term.operands
            _term(found, member)
            fact = isinstance(member, Dot)
            name = not isinstance(member, Dot) or _may_be_name(member)
            for text in _texts(listed) or ():
                found._note(text, ("in", listed.span), name=name, action=not fact, passed=not fact)
        case _:
            _inside(found, term)


def _may_be_name(dot: Dot) -> bool:
    return dot.attribute == "name" or not isinstance(dot.attribute, str)


def _texts(term: Term) -> list[str] | None:
    """Return the items of a list of nothing but text."""
    if not isinstance(term, List) or term.rest is not None:
        return None
    texts = [item.value for item in term.items if isinstance(item, Literal) and isinstance(item.value, str)]
    return texts if len(texts) == len(term.items) else None
