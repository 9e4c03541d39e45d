"""What a policy says of properties as one of Glance's protection files, where names and roles decide alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protect.analysis import CannotSay, names
from protect.analysis.names import Pattern
from protect.convert.wording import Unspeakable
from protect.policy.graph import Test, facts
from protect.policy.graph import every as every_node
from protect.policy.policy import Graphs, Policy
from protect.policy.questions import Operator, Question
from protect.policy.vocabulary import CORE, NAME
from protect.protections.sections import OPERATIONS, RESERVED
from protect.showing import visible
from protect.values import Image, Property, Query, Subject

_ROLES = (("subject", "roles"), ("subject", "service_roles"))

#: A rule to be loaded beside a policy before it is compared with a protection file.
RESERVED_TO_ALL = (
    f"allow(_subject: Subject, action, property: Property) if\n"
    f'    action in ["create", "read", "update", "delete"] and property.matches("^{RESERVED}");\n'
)


@dataclass(frozen=True, slots=True)
class _Class:
    """Names that are decided alike: the pattern of their section, a name that stands for them, what they are."""

    pattern: str
    name: str
    said: str
    spelt: bool = False


def written(policy: Policy, source: str) -> str:
    """Return the protection file. Whether it decides alike is for a comparison to say.

    Raises Unspeakable where more than names and roles decides.
    """
    _check(policy)
    roles = sorted({str(one.operand) for one in _questions(policy) if one.fact in _ROLES})
    for role in roles:
        if not role.isprintable() or not re.fullmatch(r"[^\s,#;%@!\[\]][^,#;%]*", role):
            raise Unspeakable(f"the role `{visible(role)}` cannot be written in a protection file")
    lines = [f"# Properties, as {source} protects them: the first section that fits a name decides about it."]
    classes = list(_classes(policy))
    who = [[f"{each} = {_who(policy, each, one.name, roles)}" for each in OPERATIONS] for one in classes]
    for index, one in enumerate(classes):
        # A name that is spelt out, and decided like others of its kind, needs no section.
        behind = next((at for at in range(index + 1, len(classes)) if _fits(classes[at], one.name)), None)
        if one.spelt and behind is not None and who[behind] == who[index]:
            continue
        lines += ["", f"# {one.said}", f"[{one.pattern}]", *who[index]]
    return "\n".join(lines) + "\n"


def _graphs(policy: Policy) -> Iterator[Graphs]:
    for operation in OPERATIONS:
        yield from policy.table.properties.get(operation, policy.table.other_properties).all()


def _questions(policy: Policy) -> list[Question]:
    """Return what is asked about operations on properties, in the order in which it first matters."""
    found: dict[Question, None] = {}
    for graphs in _graphs(policy):
        for root in graphs.roots():
            for node in reversed(list(every_node(root))):
                if isinstance(node, Test):
                    found[node.question] = None
    return list(found)


def _check(policy: Policy) -> None:
    asked = {fact for graphs in _graphs(policy) for fact in facts(*graphs.roots())} - {NAME, CORE, *_ROLES}
    if asked:
        from protect.policy.vocabulary import phrase

        said = ", ".join(f"`{phrase(fact, 'Property')}`" for fact in sorted(asked))
        raise Unspeakable(
            f"the rules about properties ask for {said}; a protection file knows names and roles alone, so every "
            "request in which that decides would differ"
        )


def _classes(policy: Policy) -> Iterator[_Class]:
    mentioned = sorted(policy.mentioned())
    spelt = [name for name in mentioned if _apart(policy, name)]
    for name in spelt:
        if name.startswith(RESERVED):
            continue
        yield _Class(f"^{_escaped(name)}\\Z", name, name, spelt=True)
    patterns: list[Pattern] = [
        (one.operator, str(one.operand))
        for one in _questions(policy)
        if one.operator in (Operator.MATCHES, Operator.SEARCHES)
    ]
    before: list[Pattern] = [(Operator.SEARCHES, f"^{RESERVED}")]
    for pattern in patterns:
        found = names([pattern], before, frozenset(mentioned))
        before.append(pattern)
        if isinstance(found, CannotSay):
            raise Unspeakable(f"`{pattern[1]}` cannot be told from the other patterns: {found.why}")
        if found is not None and pattern[1] != f"^{RESERVED}":
            yield _Class(_section(pattern[1]), found, f"found in the name: {_section(pattern[1])}")
    rest = names([], before, frozenset(mentioned))
    if isinstance(rest, str):
        yield _Class(".*", rest, "every other name")


def _fits(one: _Class, name: str) -> bool:
    return re.search(one.pattern, name) is not None


def _apart(policy: Policy, name: str) -> bool:
    """Whether a name is decided otherwise than by the patterns that fit it."""
    for operation in OPERATIONS:
        by_name = policy.table.properties.get(operation, policy.table.other_properties)
        if name in by_name.names:
            return True
    return False


def _escaped(name: str) -> str:
    if "]" in name or not name.isprintable() or name != name.strip():
        raise Unspeakable(f"the name `{visible(name)}` cannot stand in the head of a section")
    return re.escape(name).replace("\\_", "_").replace("\\-", "-")


def _section(pattern: str) -> str:
    pattern = pattern.replace("\n", "\\n")
    if not pattern.isprintable() or pattern != pattern.strip() or pattern.startswith("DEFAULT"):
        raise Unspeakable(f"the expression `{visible(pattern)}` cannot stand in the head of a section")
    # In Python, `$` also stands before a line end that ends the text.
    return re.sub(r"(?<!\\)\$$", r"\\Z", pattern)


def _who(policy: Policy, operation: str, name: str, roles: Sequence[str]) -> str:
    def allowed(subject: Subject) -> bool:
        return policy.decide(Query(subject, operation, Property(name, Image()))).allowed

    if allowed(Subject()):
        return "@"
    found = [role for role in roles if allowed(Subject(roles=frozenset({role})))]
    return ", ".join(found) or "!"
