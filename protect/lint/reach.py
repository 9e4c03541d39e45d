"""Checks of what in a policy matters: rules that never decide, conditions that never vary, shapes that are slow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from protect.analysis.walking import Found, deciding_rules
from protect.errors import PolicyError
from protect.lint.catalogue import Check, Form
from protect.lint.findings import Edit, Finding, Fix, Related, Severity
from protect.lint.polar_files import PolarFiles
from protect.lint.spare import Part, distinct
from protect.polar.check import ENTRY_POINTS
from protect.polar.syntax import Dot, Literal, Operation, Rule, Span, Term, Variable, walk
from protect.policy.graph import Leaf, every
from protect.policy.policy import Policy
from protect.values import Query

_GOOD = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'

DUPLICATE = Check(
    "PR201",
    "duplicate-rule",
    Severity.WARNING,
    Form.POLAR,
    "the same rule is there twice",
    "Whoever changes one of them believes to have changed the policy.",
    _GOOD + '\nallow(s: Subject, "get_image", i: Image) if\n    i.owner = s.tenant;\n',
    _GOOD,
    "Take one of them out (`--fix` does).",
)
REDUNDANT = Check(
    "PR202",
    "redundant-rule",
    Severity.WARNING,
    Form.POLAR,
    "a rule that decides, where others would decide alike without it",
    "It can be taken out without changing a decision. Whoever narrows it believes to have closed something, and the "
    "others keep it open.",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader");\n\n'
    'allow(subject: Subject, action, _image: Image) if\n    action in ["get_images", "get_image"] and\n'
    '    subject.has_role("reader");\n',
    'allow(subject: Subject, action, _image: Image) if\n    action in ["get_images", "get_image"] and\n'
    '    subject.has_role("reader");\n',
    "Take it out, or narrow those that decide in its place.",
    exact=True,
)
SHADOWED = Check(
    "PR203",
    "shadowed-rule",
    Severity.WARNING,
    Form.POLAR,
    "a rule that never decides, because others do wherever it holds",
    "It can be taken out without changing a decision. Perhaps it was meant to be narrower or wider than it is.",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader");\n\n'
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader") and\n'
    "    subject.authenticated;\n",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader") and\n'
    "    subject.authenticated;\n",
    "Take it out, or correct the one that covers it.",
    exact=True,
)
IMPOSSIBLE = Check(
    "PR204",
    "impossible-rule",
    Severity.ERROR,
    Form.POLAR,
    "a rule that never holds",
    "Its conditions contradict each other. What it should allow stays closed; what it should forbid stays open.",
    _GOOD + '\nforbid(_subject: Subject, "get_image", image: Image) if\n'
    '    image.status = "deactivated" and image.status = "killed";\n',
    _GOOD + '\nforbid(_subject: Subject, "get_image", image: Image) if\n'
    '    image.status in ["deactivated", "killed"];\n',
    "Join alternatives with `or`, or write one rule for each.",
    exact=True,
)
CONSTANT = Check(
    "PR205",
    "constant-condition",
    Severity.WARNING,
    Form.POLAR,
    "a condition that is always the same",
    "It is left over from an experiment, or one side is misspelt.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant and 1 = 1;\n',
    _GOOD,
    "Take it out.",
)
DEAD_BRANCH = Check(
    "PR206",
    "dead-alternative",
    Severity.WARNING,
    Form.POLAR,
    "an alternative that adds nothing",
    "Wherever it holds, something else does. It reads as if it opened or closed something, and does not.",
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader") or\n'
    '    (subject.has_role("reader") and subject.authenticated);\n',
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader");\n',
    "Take it out, or correct what covers it.",
    exact=True,
)
SLOW = Check(
    "PR601",
    "slow-shape",
    Severity.INFO,
    Form.POLAR,
    "many rules that differ in one text",
    "Loading takes time that grows with their square. A fact for each, and one rule over them, take none.",
    _GOOD
    + "".join(
        f'\nallow(subject: Subject, "get_images", _image: Image) if subject.tenant = "t{number}";'
        for number in range(60)
    )
    + "\n",
    _GOOD
    + "".join(f'\nlists("t{number}");' for number in range(60))
    + '\nallow(subject: Subject, "get_images", _image: Image) if lists(subject.tenant);\n',
    'Write `listed("a"); listed("b");`, and one rule that asks `listed(subject.tenant)`.',
)
PLAIN_REGEX = Check(
    "PR603",
    "plain-text-regular-expression",
    Severity.INFO,
    Form.POLAR,
    "a regular expression that only says which text it is",
    "A comparison says the same, is looked up instead of searched, and can be listed with others.",
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.matches("^os_type$") and property.image.owner = subject.tenant;\n',
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.name = "os_type" and property.image.owner = subject.tenant;\n',
    'Write `property.name = "os_type"`.',
)
UNEXPLORED = Check(
    "PR602",
    "too-large-to-foresee",
    Severity.WARNING,
    Form.POLAR,
    "the policy is too large to be worked out beforehand",
    "Paths that no request has taken are asked about when one does, which takes milliseconds; a saved policy denies "
    "them, and exact checks cannot see them.",
    'allow(subject: Subject, "get_image", image: Image) if\n'
    + " and\n".join(f'    (image.has_tag("a{number}") or subject.has_role("b{number}"))' for number in range(18))
    + ";\n"
    + 'allow(subject: Subject, "get_image", image: Image) if\n'
    + " and\n".join(f'    (image.has_tag("c{number}") or subject.has_role("b{number}"))' for number in range(18))
    + ";\n",
    _GOOD,
    "Make independent conditions facts, or split the rule.",
    exact=True,
)

#: How many rules of one head are many.
MANY: Final = 50
#: For how many rules that never decide it is found out why: that takes compiling the policy again.
MOST_EXPLAINED: Final = 5

_PLAIN: Final = re.compile(r"\^(?:[\w\-:]|\\[^\w])+\$")
_WORDS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|[\w.:?]+|\S')


def findings(files: PolarFiles) -> Iterator[Finding]:
    """Yield what the text tells."""
    yield from _duplicates(files)
    heads: Counter[tuple[str, str]] = Counter()
    for rule in files.own_rules():
        yield from _constants(files, rule)
        yield from _plain_patterns(files, rule)
        if rule.name in ENTRY_POINTS and len(rule.parameters) == 3 and rule.body is not None:
            key = rule.name, shape(files, rule, texts=False)
            heads[key] += 1
            if heads[key] == MANY + 1:
                yield SLOW.at(
                    files.span(rule.name_span),
                    f"more than {MANY} rules differ in nothing but a text",
                    "write a fact for each text, and one rule over them",
                    subject=f"{rule.name} {key[1]}",
                )


def exact(
    files: PolarFiles,
    policy: Policy,
    compile_again: Callable[[Mapping[str, str]], Policy],
    spared: Callable[[Found, Collection[Span]], Iterable[Part]],
) -> Iterator[Finding]:
    """Yield what the graphs tell. ``compile_again`` makes a policy of changed texts, by the names of the files.

    ``spared`` returns the parts of rules that could be spared, given the rules that decide and those that never do.
    """
    roots = [root for graphs in policy.table.all() for root in graphs.roots()]
    if any(isinstance(node, Leaf) and not node.explored for node in every(*roots)):
        rule = next(files.own_rules(), None)
        if rule is not None:
            yield UNEXPLORED.at(
                files.span(rule.name_span),
                "some paths through these rules are not worked out beforehand; what is said of them is not exact",
                "make independent conditions facts, or split the rules",
                subject="whole policy",
            )
        return
    found = deciding_rules(policy)
    if not found.proven:
        return
    explained = 0
    copies = {finding.span for finding in _duplicates(files)}
    dead = {rule.span for rule in files.own_rules() if files.span(rule.name_span) in copies}
    for index, reference in enumerate(policy.rules):
        if index in found or reference.file not in files.own:
            continue
        rule = _statement(files, reference.file, reference.line, index, policy)
        if rule is None or files.span(rule.name_span) in copies:
            continue
        explained += 1
        dead.add(rule.span)
        shadow = _shadow(files, policy, rule, compile_again) if explained <= MOST_EXPLAINED else None
        if shadow is not None and policy.explain(shadow).rule == reference:
            # It decides after all: no rule is its own shadow.
            continue
        yield _dead(files, policy, rule, shadow, known=explained <= MOST_EXPLAINED)
    yield from (_spared(files, policy, part) for part in spared(found, dead))


def _spared(files: PolarFiles, policy: Policy, part: Part) -> Finding:
    there = {(one.file, one.line) for one in (policy.rules[number] for number in part.others)}
    there.discard((part.rule.span.file, part.rule.span.line))
    related = tuple(
        Related(files.texts[file].line(line), "this one decides alike")
        for file, line in sorted(there)
        if file in files.texts
    )
    by = " or ".join(f"{file}:{line}" for file, line in sorted(there)) or "what else stands here"
    source = files.source(part.rule.span)
    if part.term is not None:
        message = f"this alternative adds nothing: wherever it holds, {by} decides alike"
        return DEAD_BRANCH.at(files.span(part.term.span), message, "take it out", related=related, subject=source)
    span = files.span(part.rule.name_span)
    if part.rule.name in ENTRY_POINTS:
        message = f"this rule adds nothing: wherever it decides, {by} would decide alike without it"
        help = "take it out, or narrow the others"
        return REDUNDANT.at(span, message, help, related=related, subject=source)
    message = f"this rule for `{part.rule.name}` adds nothing: wherever it holds, {by} decides alike"
    return DEAD_BRANCH.at(span, message, "take it out", related=related, subject=source)


def _statement(files: PolarFiles, file: str, line: int, index: int, policy: Policy) -> Rule | None:
    """Return the rule that ``policy.rules[index]`` is."""
    same = [number for number, one in enumerate(policy.rules) if (one.file, one.line) == (file, line)]
    rules = [rule for rule in files.own_rules() if rule.name in ENTRY_POINTS and rule.span.file == file]
    there = [rule for rule in rules if rule.span.line == line]
    place = same.index(index)
    return there[place] if place < len(there) else None


def _dead(files: PolarFiles, policy: Policy, rule: Rule, shadow: Query | None, *, known: bool) -> Finding:
    source = files.source(rule.span)
    span = files.span(rule.name_span)
    if shadow is None and known:
        return IMPOSSIBLE.at(span, "this rule never holds", "its conditions contradict each other", subject=source)
    related: tuple[Related, ...] = ()
    by = ""
    if shadow is not None:
        decided = policy.explain(shadow).rule
        if decided is not None:
            by = f": {decided} does wherever it holds"
            if decided.file in files.texts and decided.line:
                related = (Related(files.texts[decided.file].line(decided.line), "this one decides instead"),)
    message = f"this rule never decides{by or ', others do wherever it holds'}"
    return SHADOWED.at(span, message, "take it out, or correct the other one", related=related, subject=source)


def _shadow(
    files: PolarFiles, policy: Policy, rule: Rule, compile_again: Callable[[Mapping[str, str]], Policy]
) -> Query | None:
    """Return a query that the rule decides when it is the only one of its kind; None where it decides none."""
    texts = distinct(files)
    for other in files.statements:
        # Every other entry point, so that a `forbid` does not hide what an `allow` would do.
        if isinstance(other, Rule) and other.name in ENTRY_POINTS and other is not rule:
            content = texts[other.span.file]
            blank = re.sub(r"[^\n]", " ", content[other.span.start : other.span.end])
            texts[other.span.file] = content[: other.span.start] + blank + content[other.span.end :]
    if rule.name != "allow":
        # Without any `allow` there is no policy, and nothing to discard where nothing is denied.
        file = rule.span.file
        texts[file] += (
            "\nallow(_subject: Subject, _action, _resource);"
            if rule.name == "forbid"
            else ('\nallow(_subject: Subject, "\ue001never", _resource);')
        )
    try:
        alone = compile_again(texts)
    except PolicyError:
        return None
    found = deciding_rules(alone)
    for index, one in enumerate(alone.rules):
        if one.file == rule.span.file and one.line == rule.span.line and index in found:
            return found.witnesses[index].query
    return None


def shape(files: PolarFiles, rule: Rule, *, texts: bool = True) -> str:
    """Return a rule's text with its variables numbered and its spacing gone: equal for equal rules.

    Without ``texts``, the texts of the body are left out.
    """
    variables = {term.name for term in walk(rule) if isinstance(term, Variable)}
    constants = {"context", "nil"}
    numbers: dict[str, str] = {}
    words = []
    head_end = rule.parameters[-1].span.end if rule.parameters else rule.name_span.end
    for match in _WORDS.finditer(files.source(rule.span)):
        word = match[0]
        if word.startswith("#"):
            continue
        if word.startswith('"'):
            words.append(word if texts or match.start() + rule.span.start < head_end else '""')
            continue
        first, dot, rest = word.partition(".")
        name = first.rstrip(":")
        if name in variables and name not in constants:
            # A name that begins with `_` occurs once: all of them are alike.
            numbers.setdefault(name, f"v{len(numbers)}")
            first = numbers[name] + first[len(name) :]
        words.append(first + dot + rest)
    return " ".join(words)


def _duplicates(files: PolarFiles) -> Iterator[Finding]:
    seen: dict[str, Rule] = {}
    for statement in files.statements:
        if not isinstance(statement, Rule):
            continue
        key = shape(files, statement)
        first = seen.setdefault(key, statement)
        if first is statement or statement.span.file not in files.own:
            continue
        content = files.texts[statement.span.file].content
        start, end = statement.span.start, statement.span.end
        if content[end : end + 1] == "\n":
            end += 1
        fix = Fix("take it out", (Edit(start, end, ""),))
        yield DUPLICATE.at(
            files.span(statement.name_span),
            f"this rule is there already, at {first.span.file}:{first.span.line}",
            "take one of them out",
            related=(Related(files.span(first.name_span), "the first one"),),
            fix=fix,
            subject=files.source(statement.span),
        )


def _constants(files: PolarFiles, rule: Rule) -> Iterator[Finding]:
    conditions: list[Term] = [rule.body] if rule.body is not None else []
    while conditions:
        term = conditions.pop()
        if isinstance(term, Operation) and term.operator in ("and", "or", "not", "forall"):
            conditions += term.operands
        elif _constant(term):
            yield CONSTANT.at(
                files.span(term.span), "this is always the same", "take it out", subject=files.source(rule.span)
            )


def _constant(term: Term) -> bool:
    if isinstance(term, Literal):
        return True
    if not isinstance(term, Operation) or len(term.operands) != 2:
        return False
    left, right = term.operands
    if isinstance(left, Literal) and isinstance(right, Literal):
        return True
    return term.operator in ("=", "==", "!=") and _written(left) is not None and _written(left) == _written(right)


def _written(term: Term) -> str | None:
    if isinstance(term, Variable):
        return term.name
    if isinstance(term, Dot) and isinstance(term.attribute, str) and term.arguments is None:
        base = _written(term.base)
        return f"{base}.{term.attribute}" if base is not None else None
    return None


def _plain_patterns(files: PolarFiles, rule: Rule) -> Iterator[Finding]:
    for term in walk(rule):
        if isinstance(term, Dot) and term.attribute == "matches" and term.arguments:
            argument = term.arguments[0]
            if isinstance(argument, Literal) and isinstance(argument.value, str) and _PLAIN.fullmatch(argument.value):
                plain = re.sub(r"\\(.)", r"\1", argument.value[1:-1])
                yield PLAIN_REGEX.at(
                    files.span(argument.span),
                    f"this pattern is found in one name only: `{plain}`",
                    f'write `.name = "{plain}"`',
                    subject=files.source(rule.span),
                )
