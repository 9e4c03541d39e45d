"""Protection files as decision graphs: on their own, or in front of what another policy decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protect.policy.graph import Builder, Node
from protect.policy.policy import ByName, Graphs, Policy, Table
from protect.policy.questions import Operator, question
from protect.policy.vocabulary import NAME, RESOURCES
from protect.protections.conditions import node
from protect.protections.sections import OPERATIONS, RESERVED, Section, first
from protect.values import Rule

#: Where a walk goes on once the file has no objection: a leaf that says which section it was, or another policy.
Next = Callable[[int], Node]


class Protections:
    """The sections of all files in their order. Names that no section fits are closed to everybody."""

    def __init__(self, sections: Sequence[Section], files: Sequence[str]) -> None:
        """``files`` are named in reasons where no section is: there is at least one."""
        self._sections = tuple(sections)
        self._none = len(self._sections)
        self._reserved = self._none + 1
        self.rules = (
            *(Rule(section.file, section.line, f"[{section.pattern}]") for section in self._sections),
            Rule(files[-1], 0, "no section fits this name"),
            Rule(files[0], 0, f"names that begin with `{RESERVED}` are the API's own"),
        )
        self._found: dict[str, int] = {}
        self._builder = Builder()

    def alone(self, revision: str, warnings: Sequence[str] = ()) -> Policy:
        """Return the policy that decides on properties, and leaves every other action to the API."""
        table = self._left(Table())
        for operation in OPERATIONS:
            table.properties[operation] = self._narrowed(ByName(Graphs()), operation, 0, alone=True)
        return Policy(table, revision=revision, rules=self.rules, warnings=warnings)

    def narrow(self, policy: Policy, revision: str, warnings: Sequence[str] = ()) -> Policy:
        """Return ``policy`` with the four operations on a property subject to the files as well.

        Whatever allows the operation, a section that refuses it wins; ``discard`` rules hold for its refusals too.
        A policy that allows nothing adds what it forbids to the files, which then decide as they do alone.
        """
        before, alone = policy.table, policy.table.leaves_actions
        table = Table(before.actions, before.other, dict(before.properties), before.other_properties)
        if alone:
            table = self._left(table)
        for operation in OPERATIONS:
            by_name = before.properties.get(operation, before.other_properties)
            table.properties[operation] = self._narrowed(by_name, operation, len(policy.rules), alone=alone)
        return Policy(
            table,
            revision=revision,
            rules=(*policy.rules, *self.rules),
            growth=policy.growth,
            warnings=(*policy.warnings, *warnings),
        )

    def _left(self, table: Table) -> Table:
        """Return ``table`` with every action on anything but properties left to the API, unless it is forbidden."""
        allowed = self._builder.leaf(True)

        def left(graphs: Graphs) -> Graphs:
            return Graphs(graphs.forbid, allowed, graphs.discard)

        return Table(
            actions={key: left(graphs) for key, graphs in table.actions.items()},
            other={kind: left(table.other.get(kind, Graphs())) for kind in RESOURCES if kind != "Property"},
            properties=table.properties,
            other_properties=table.other_properties,
            leaves_actions=True,
        )

    def _narrowed(self, by_name: ByName, operation: str, offset: int, *, alone: bool) -> ByName:
        def behind(graphs: Graphs) -> Next:
            return (lambda rule: self._builder.leaf(True, offset + rule)) if alone else (lambda _: graphs.allow)

        def known(graphs: Graphs, name: str) -> Graphs:
            allow = self._decided(self._find(name), operation, offset, behind(graphs))
            return Graphs(graphs.forbid, allow, graphs.discard)

        other = by_name.other
        narrowed = ByName(Graphs(other.forbid, self._chain(operation, offset, behind(other)), other.discard))
        for name in self._names() | by_name.names.keys():
            narrowed.names[name] = known(by_name.find(operation, name), name)
        if by_name.same is not None:
            narrowed.same = known(by_name.same, operation)
        return narrowed

    def _names(self) -> set[str]:
        """Return the names that sections spell out, `x` and `^x$`: what is decided about them needs no search."""
        literals = (section.literal for section in self._sections if section.literal is not None)
        return {literal.text for literal in literals if literal.start == literal.end}

    def _find(self, name: str) -> int:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._reserved if name.startswith(RESERVED) else self._first(name)
        return found

    def _first(self, name: str) -> int:
        try:
            index = first(self._sections, name)
        except ValueError:
            return self._none  # no name that a property can have
        return self._none if index is None else index

    def _chain(self, operation: str, offset: int, behind: Next) -> Node:
        chain = self._decided(self._none, operation, offset, behind)
        for index in range(self._none - 1, -1, -1):
            fits = question(Operator.SEARCHES, NAME, self._sections[index].pattern)
            chain = self._builder.test(fits, chain, self._decided(index, operation, offset, behind))
        reserved = question(Operator.SEARCHES, NAME, f"^{RESERVED}")
        return self._builder.test(reserved, chain, self._decided(self._reserved, operation, offset, behind))

    def _decided(self, rule: int, operation: str, offset: int, behind: Next) -> Node:
        """Return what follows once it is known which section decides, or that it is none."""
        if rule == self._reserved:
            return behind(rule)
        refused = self._builder.leaf(False, offset + rule)
        if rule == self._none:
            return refused
        return node(self._builder, self._sections[rule].who[operation], refused, behind(rule))
