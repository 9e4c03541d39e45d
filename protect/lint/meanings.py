"""What the variables of rules stand for: the action, a property's name, a role, an image, …

Told by where they come from and where they go, from rule to rule: the second parameter of an entry point is the action,
what `has_role` is asked about is a role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from protect.lint.polar_files import PolarFiles
from protect.polar.check import ENTRY_POINTS
from protect.polar.syntax import Call, Dot, List, Literal, Operation, Pattern, Rule, Term, Variable, walk

ACTION: Final = "action"
NAME: Final = "name"
ROLE: Final = "role"

_COMPARES: Final = ("=", "==", "!=", "in")


@dataclass(slots=True)
class Meanings:
    """``parameters`` are the meanings of the parameters of each rule, by its name and the parameter's number."""

    rules: Mapping[str, Sequence[Rule]]
    parameters: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def of(self, term: Term, rule: Rule) -> set[str]:
        """Return what a term of a rule stands for: `action`, `name`, `role`, or a type such as `Image`."""
        if isinstance(term, Dot):
            if term.attribute == "image":
                return {"Image"}
            return {NAME} if term.attribute == "name" and "Property" in self.of(term.base, rule) else set()
        if not isinstance(term, Variable):
            return set()
        found: set[str] = set()
        for number, parameter in enumerate(rule.parameters):
            if isinstance(parameter.term, Variable) and parameter.term.name == term.name:
                found |= self.parameters.get((rule.name, number), set())
                if isinstance(parameter.specializer, Pattern) and parameter.specializer.name:
                    # What a rule says itself counts for more than what its callers say.
                    return {parameter.specializer.name}
        return found

    def literals(self, rule: Rule) -> Iterator[tuple[str, Literal]]:
        """Yield the texts of a rule that are compared with something that has a meaning, with that meaning."""
        for number, parameter in enumerate(rule.parameters):
            if isinstance(parameter.term, Literal):
                yield from ((one, parameter.term) for one in self.parameters.get((rule.name, number), ()))
        roles = self._roles(rule)
        for term in walk(rule):
            if isinstance(term, Call):
                for number, argument in enumerate(term.arguments):
                    if isinstance(argument, Literal):
                        yield from ((one, argument) for one in self.parameters.get((term.name, number), ()))
            elif isinstance(term, Operation) and term.operator in _COMPARES and len(term.operands) == 2:
                for one, other in (term.operands, term.operands[::-1]):
                    meant = self.of(one, rule)
                    meant |= {ROLE} if isinstance(one, Variable) and one.name in roles else set()
                    for item in other.items if isinstance(other, List) else (other,):
                        if isinstance(item, Literal):
                            yield from ((what, item) for what in meant)

    def _roles(self, rule: Rule) -> set[str]:
        """Return the variables of a rule that are roles: those that are asked about, here or in another rule."""
        found: set[str] = set()
        for term in walk(rule):
            if isinstance(term, Dot) and term.attribute in ("has_role", "has_service_role"):
                found.update(one.name for one in term.arguments or () if isinstance(one, Variable))
            elif isinstance(term, Call):
                found.update(
                    one.name
                    for number, one in enumerate(term.arguments)
                    if isinstance(one, Variable) and ROLE in self.parameters.get((term.name, number), ())
                )
        return found

    def spread(self) -> bool:
        """Carry what is known from each rule to those that it asks for, and roles back; say whether that told more."""
        before = sum(map(len, self.parameters.values()))
        for rule in (one for same in self.rules.values() for one in same):
            roles = self._roles(rule)
            for number, parameter in enumerate(rule.parameters):
                if isinstance(parameter.term, Variable) and parameter.term.name in roles:
                    self.parameters.setdefault((rule.name, number), set()).add(ROLE)
            for term in walk(rule):
                if isinstance(term, Call):
                    for number, argument in enumerate(term.arguments):
                        meant = self.of(argument, rule)
                        meant |= {ROLE} if isinstance(argument, Variable) and argument.name in roles else set()
                        if meant:
                            self.parameters.setdefault((term.name, number), set()).update(meant)
        return sum(map(len, self.parameters.values())) > before


def meanings(files: PolarFiles) -> Meanings:
    """Return what the variables of one policy stand for."""
    found = Meanings(files.rules_by_name())
    for entry in ENTRY_POINTS:
        found.parameters[entry, 1] = {ACTION}
    while found.spread():
        pass
    return found
