"""Checks of Polar's language: what cannot be loaded, and what can and does not mean what it seems to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from protect.errors import Problem
from protect.lint.catalogue import Check, Form
from protect.lint.characters import DECEPTIVE, in_strings
from protect.lint.findings import Edit, Finding, Fix, Severity
from protect.lint.known import misspelt
from protect.lint.missing import traps
from protect.lint.polar_files import PolarFiles
from protect.polar.check import BLOCK_RULES, ENTRY_POINTS, problems
from protect.polar.syntax import Operation, Rule, walk
from protect.polar.tokens import tokenize

_GOOD = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'

SYNTAX = Check(
    "PL001",
    "syntax-error",
    Severity.ERROR,
    Form.POLAR,
    "the text is not Polar",
    "A policy that cannot be read is never loaded: the service does not start with it, or goes on with the last good "
    "one. Every mistake of a file is reported in one run.",
    "allow(subject: Subject, 'get_image', image: Image) if image.owner = subject.tenant;\n",
    _GOOD,
    "Correct what the message names. Strings stand in double quotes, a statement ends with `;`, a comment starts "
    "with `#`.",
)
UNDEFINED = Check(
    "PL002",
    "undefined-rule",
    Severity.ERROR,
    Form.POLAR,
    "a rule that is not defined is asked for",
    "A misspelt rule never holds. In an `allow` that locks somebody out; in a `forbid` it forbids nothing.",
    'owns(subject, image) if image.owner = subject.tenant;\n\nallow(subject: Subject, "get_image", image: Image) if\n'
    "    owns(subject, image) or own(subject, image);\n",
    'owns(subject, image) if image.owner = subject.tenant;\n\nallow(subject: Subject, "get_image", image: Image) if\n'
    "    owns(subject, image);\n",
    "Correct the name, or define the rule. A file that adds to other files is checked beside the rules of the folder "
    "above it, beside the shipped ones, or beside what `--beside` names.",
)
ARITY = Check(
    "PL003",
    "wrong-arity",
    Severity.ERROR,
    Form.POLAR,
    "a rule is asked with another number of arguments than it is defined with",
    "Polar loads such a call without a word, and it never holds.",
    'owns(subject, image) if image.owner = subject.tenant;\n\nallow(subject: Subject, "get_image", image: Image) if\n'
    "    owns(image) and image.owner = subject.tenant;\n",
    'owns(subject, image) if image.owner = subject.tenant;\n\nallow(subject: Subject, "get_image", image: Image) if\n'
    "    owns(subject, image);\n",
    "Pass as many arguments as the rule has parameters.",
)
SINGLETON = Check(
    "PL004",
    "variable-used-once",
    Severity.ERROR,
    Form.POLAR,
    "a variable occurs only once in its rule",
    "A variable that is used once compares with nothing: most often it is a misspelt one, and the rule holds for more "
    "than was meant.",
    'allow(subject: Subject, "get_images", image: Image) if\n    subject.has_role("reader");\n',
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("reader");\n',
    "Begin its name with `_` if nothing depends on it (`--fix` does that), or correct the spelling.",
)
UNKNOWN_TYPE = Check(
    "PL005",
    "unknown-type",
    Severity.ERROR,
    Form.POLAR,
    "a type that does not exist",
    "A rule about an unknown type is about nothing and never holds.",
    'allow(subject: Subject, "get_image", image: Imgae) if\n    image.owner = subject.tenant;\n',
    _GOOD,
    "Write one of Subject, Image, Property, Member, Location, Task, Store, Metadef, Resource.",
)
UNKNOWN_WORD = Check(
    "PL006",
    "unknown-fact",
    Severity.ERROR,
    Form.POLAR,
    "a fact that is not in the vocabulary",
    "Rules ask about a fixed set of facts. Anything else would be an error at every request, and an error is a denial.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tennant;\n',
    _GOOD,
    'Write the fact as the help says. Properties of an image are `image.get("name")`, claims of a subject '
    '`subject.get("name")`.',
)
MISUSED_WORD = Check(
    "PL007",
    "misused-fact",
    Severity.ERROR,
    Form.POLAR,
    "a fact is written in a form that it does not have",
    'Roles, tags and properties are asked about (`subject.has_role("x")`), other facts compared '
    "(`image.owner = …`). The other way round nothing is asked.",
    'allow(subject: Subject, "get_image", _image: Image) if\n    subject.has_role;\n',
    'allow(subject: Subject, "get_image", _image: Image) if\n    subject.has_role("reader");\n',
    "Write it as the help of the finding shows.",
)
SENSELESS = Check(
    "PL008",
    "senseless-comparison",
    Severity.ERROR,
    Form.POLAR,
    "a comparison that can never hold, or is none",
    "Text never equals a number, nothing equals nothing, `<` is for numbers, and text alone is no condition.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = 7 and\n    subject.has_role("reader");\n',
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = "7" and\n'
    '    subject.has_role("reader");\n',
    "Compare the fact with a value of its own kind.",
)
REFUSED = Check(
    "PL009",
    "refused-construct",
    Severity.ERROR,
    Form.POLAR,
    "a construct that a policy may not use",
    "`cut` makes a decision depend on the order of rules, `print` and `debug` reach the terminal of the service, "
    "`new` makes objects, and `in` looks into text instead of a list.",
    'allow(subject: Subject, "get_image", image: Image) if\n    cut and image.owner = subject.tenant;\n',
    _GOOD,
    "Write the condition into the rules; `in` takes a list written in place.",
)
DUNDER = Check(
    "PL010",
    "reaches-into-python",
    Severity.SECURITY,
    Form.POLAR,
    "a rule reaches for Python's own attributes",
    "In plain Oso this runs code of the policy's choice inside the service. Here it is refused; a file in which it "
    "stands was written by mistake or in bad faith.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.__class__ and image.owner = subject.tenant;\n',
    _GOOD,
    "Take it out, and find out how it came there.",
)
REGEX = Check(
    "PL011",
    "unusable-regular-expression",
    Severity.ERROR,
    Form.POLAR,
    "a regular expression that RE2 does not accept",
    "Names come from tenants, so they are searched in linear time only: RE2's syntax has no look-around and no "
    "back-references.",
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.image.owner = subject.tenant and property.matches("^(?!hw_)");\n',
    'allow(subject: Subject, "read", property: Property) if\n'
    '    property.image.owner = subject.tenant and not property.matches("^hw_");\n',
    "Write what must be found, and `not` before `matches` for what must not.",
)
HIDDEN = Check(
    "PL012",
    "hidden-or-confusable-character",
    Severity.SECURITY,
    Form.POLAR,
    "a character that a reader does not see, or takes for another",
    "A zero-width space, a direction mark or a Cyrillic letter makes a rule read otherwise than it says. Reviewers "
    "cannot see it.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner\u200b = subject.tenant;\n',
    _GOOD,
    "Remove it. Names are made of the letters a to z, digits and `_`.",
)
ENTRY_SHAPE = Check(
    "PL013",
    "misshapen-entry-point",
    Severity.ERROR,
    Form.POLAR,
    "`allow`, `forbid` or `discard` is not written as the service asks it",
    "The service asks with a subject, an action as text and a resource. A rule of any other shape never holds.",
    'allow(subject: Image, "get_images", _image: Image) if\n    subject.owner = "t";\n',
    'allow(subject: Subject, "get_images", _image: Image) if\n    subject.tenant = "t";\n',
    "Write `allow(subject: Subject, action, resource: Image) if …;`.",
)
NO_ENTRY = Check(
    "PL014",
    "no-effect",
    Severity.ERROR,
    Form.POLAR,
    "no rule of the file is ever asked for",
    "A file without `allow`, `forbid` or `discard`, and without a rule that these ask for, decides nothing: most "
    "often it is empty, or was cut off.",
    "# the rules went elsewhere\n",
    _GOOD,
    "Write a rule, or take the file out of the policy.",
)
ENDLESS = Check(
    "PL015",
    "endless-rule",
    Severity.ERROR,
    Form.POLAR,
    "a rule comes back to itself with the same question",
    "It can only be evaluated by running forever, so the policy is refused.",
    "owns(subject, image) if owns(subject, image);\n\n"
    'allow(subject: Subject, "get_image", image: Image) if\n    owns(subject, image);\n',
    _GOOD,
    "Take out the reference to itself.",
)
UNUSED = Check(
    "PL016",
    "unused-rule",
    Severity.INFO,
    Form.POLAR,
    "a rule that nothing asks for",
    "It decides nothing. Perhaps the rule that should ask for it has another name in mind.",
    _GOOD + "\nowns(subject, image) if image.owner = subject.tenant;\n",
    _GOOD,
    "Ask for it, or take it out.",
)
MISNAMED = Check(
    "PL017",
    "misnamed-entry-point",
    Severity.ERROR,
    Form.POLAR,
    "a rule looks like an entry point and is none",
    "The service asks for `allow`, `forbid` and `discard`. A rule called `deny` loads without a word and denies "
    "nothing.",
    _GOOD + '\ndeny(_subject: Subject, "get_image", image: Image) if image.status = "deactivated";\n',
    _GOOD + '\nforbid(_subject: Subject, "get_image", image: Image) if image.status = "deactivated";\n',
    "Call it `forbid` (or `allow`, `discard`).",
)
MIXED = Check(
    "PL018",
    "unclear-and-or",
    Severity.WARNING,
    Form.POLAR,
    "`and` and `or` are mixed without brackets",
    "`and` binds closer than `or`, which many readers expect the other way round: one branch is then wider than it "
    "looks.",
    'allow(subject: Subject, "get_image", image: Image) if\n'
    '    subject.has_role("admin") or subject.has_role("reader") and image.owner = subject.tenant;\n',
    'allow(subject: Subject, "get_image", image: Image) if\n'
    '    subject.has_role("admin") or (subject.has_role("reader") and image.owner = subject.tenant);\n',
    "Put brackets around what belongs together (`--fix` puts them where they are understood now).",
)
COMMA = Check(
    "PL019",
    "repeated-comma",
    Severity.WARNING,
    Form.POLAR,
    "two commas in a row",
    "Polar takes them for one. Something may have been lost between them.",
    'allow(subject: Subject, action, image: Image) if\n    action in ["get_image",, "download_image"] and\n'
    "    image.owner = subject.tenant;\n",
    'allow(subject: Subject, action, image: Image) if\n    action in ["get_image", "download_image"] and\n'
    "    image.owner = subject.tenant;\n",
    "Take one out (`--fix` does), or write what is missing.",
)
NEGATION = Check(
    "PL020",
    "negation-of-what-may-be-missing",
    Severity.SECURITY,
    Form.POLAR,
    "an `allow` holds because a fact has no value",
    'Nothing equals nothing, so `not subject.get("banned") = "yes"` and `image.owner != "x"` hold also where the '
    "fact is missing: the rule grants to whoever does not bring the fact.",
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant and\n'
    '    not subject.get("banned") = "yes";\n',
    _GOOD + '\nforbid(subject: Subject, "get_image", _image: Image) if\n    subject.get("banned") = "yes";\n',
    "Say what must be there, or put the exception into a `forbid` rule.",
)

#: Which check a problem of the parser, the checker or the compiler belongs to, told by its message. First fit.
_OF_MESSAGE: Final = tuple(
    (re.compile(pattern), check)
    for pattern, check in (
        (r"hidden character|byte order mark|carriage return without|is not ASCII$", HIDDEN),
        (r"^no rule is called ", UNDEFINED),
        (r"is asked with \d+ arguments", ARITY),
        (r"occurs only once in this rule", SINGLETON),
        (r"^unknown type ", UNKNOWN_TYPE),
        (r"has no `_|^`_\w*` is not in the vocabulary", DUNDER),
        (r"has no `|is not in the vocabulary", UNKNOWN_WORD),
        (r"must be called|cannot be called|takes (one argument|text|the subject)|has no attributes", MISUSED_WORD),
        (r"have attributes$|must be written out", MISUSED_WORD),
        (r"no condition by itself|never equals this|compares numbers|calculated with", SENSELESS),
        (r"^nothing (equals|here)|a fact is no ", SENSELESS),
        (r"is not allowed in a policy|makes objects|is taken$|is a type, not a value|right side of `in`", REFUSED),
        (r"stops the service", REFUSED),
        (r"regular expression is not usable", REGEX),
        (r"parameters, not 3|^this parameter of|parameter's type must|^an action is text", ENTRY_SHAPE),
        (r"running forever", ENDLESS),
        (r"^no `allow` rule", NO_ENTRY),
    )
)

#: What people call the entry points that are called otherwise here.
_MISNAMED: Final = {
    **dict.fromkeys(("deny", "denied", "block", "disallow", "prohibit", "forbidden", "reject", "refuse"), "forbid"),
    **dict.fromkeys(("permit", "allowed", "grant", "authorize", "alow", "allows"), "allow"),
    **dict.fromkeys(("drop", "ignore", "discarded"), "discard"),
}


def of_problem(problem: Problem) -> Check:
    """Return the check that a problem found while compiling belongs to."""
    for pattern, check in _OF_MESSAGE:
        if pattern.search(problem.message):
            return check
    return SYNTAX


def stops(finding: Finding) -> bool:
    """Whether a finding of this module keeps the policy from being loaded."""
    loads = (NO_ENTRY, UNUSED, MISNAMED, MIXED, COMMA, NEGATION, DECEPTIVE)
    return finding.code not in {check.code for check in loads}


def findings(files: PolarFiles) -> Iterator[Finding]:
    """Yield what the text of one policy tells."""
    found = [*files.problems]
    first = next(iter(files.texts))
    found += problems(files.statements, first, complete=files.complete)
    for problem in found:
        check = of_problem(problem)
        if problem.file in files.own and check is not NO_ENTRY:
            yield of(files, problem, check)
    for file in sorted(files.own):
        yield from _repeated_commas(files, file)
        yield from in_strings(files.texts[file])
    yield from _mixed(files)
    if files.complete:
        yield from _no_entry(files)
        yield from _unused(files)
        yield from _negations(files)


def of(files: PolarFiles, problem: Problem, check: Check | None = None) -> Finding:
    """Return a problem as a finding."""
    check = check or of_problem(problem)
    text = files.texts[problem.file]
    span = text.word(problem.line, problem.column)
    fix = None
    if check is SINGLETON:
        start = text.offset(problem.line, problem.column)
        fix = Fix("begin the name with `_`", (Edit(start, start, "_"),))
    subject = files.subject(problem.file, problem.line) or problem.message
    return check.at(span, problem.message, problem.help, fix=fix, subject=subject)


def _repeated_commas(files: PolarFiles, file: str) -> Iterator[Finding]:
    text = files.texts[file]
    if ",," not in text.content.replace(" ", "").replace("\n", ""):
        return
    tokens, _ = tokenize(text.content, file)
    for before, token in pairwise(tokens):
        if before[0] == token[0] == ",":
            fix = Fix("take the second comma out", (Edit(token[2], token[3], ""),))
            span = text.span(before[2], token[3])
            yield COMMA.at(span, "two commas in a row", "take one out", fix=fix, subject=files.subject(file, token[4]))


def _mixed(files: PolarFiles) -> Iterator[Finding]:
    for statement in files.own_statements():
        for term in walk(statement):
            if not isinstance(term, Operation) or term.operator != "or":
                continue
            for part in term.operands:
                if isinstance(part, Operation) and part.operator == "and" and not _bracketed(files, part):
                    edits = (Edit(part.span.start, part.span.start, "("), Edit(part.span.end, part.span.end, ")"))
                    yield MIXED.at(
                        files.span(part.span),
                        "`and` binds closer than `or` here",
                        "put brackets around what belongs together",
                        fix=Fix("put brackets around it", edits),
                        subject=files.source(statement.span),
                    )


def _bracketed(files: PolarFiles, term: Operation) -> bool:
    content = files.texts[term.span.file].content
    return content[: term.span.start].rstrip().endswith("(") and content[term.span.end :].lstrip().startswith(")")


def _no_entry(files: PolarFiles) -> Iterator[Finding]:
    asked = files.asked()
    for file in sorted(files.own):
        rules = [statement for statement in files.statements if statement.span.file == file]
        duplicate = not rules and files.texts[file].content.strip() and len(files.texts) > 1
        if duplicate and any(
            one.content == files.texts[file].content for name, one in files.texts.items() if name != file
        ):
            continue
        if not any(getattr(rule, "name", "") in asked or not isinstance(rule, Rule) for rule in rules):
            if any(isinstance(rule, Rule) and _meant(rule.name) for rule in rules):
                continue  # said of that rule
            yield NO_ENTRY.at(
                files.texts[file].word(0, 0),
                "no rule here is ever asked for",
                "write `allow(subject: Subject, action, resource) if …;`",
                subject=file,
            )


def _unused(files: PolarFiles) -> Iterator[Finding]:
    asked = files.asked()
    met: set[str] = set()
    for rule in files.own_rules():
        if rule.name in asked or rule.name in BLOCK_RULES or rule.name in met:
            continue
        met.add(rule.name)
        meant = _meant(rule.name)
        source = files.source(rule.span)
        if meant is not None and len(rule.parameters) == len(ENTRY_POINTS[meant]):
            yield MISNAMED.at(
                files.span(rule.name_span),
                f"the service never asks for `{rule.name}`",
                f"did you mean `{meant}`?",
                subject=source,
            )
        else:
            yield UNUSED.at(
                files.span(rule.name_span),
                f"nothing asks for `{rule.name}`",
                "take it out, or ask for it",
                subject=source,
            )


def _meant(name: str) -> str | None:
    """Return the entry point that a rule of this name was probably meant to be."""
    known = {**dict.fromkeys(ENTRY_POINTS, ""), **_MISNAMED}
    word = name.lower() if name.lower() in known else misspelt(name, known)
    return _MISNAMED.get(word, word) if word else None


def _negations(files: PolarFiles) -> Iterator[Finding]:
    """Yield the comparisons that make an `allow` hold where a fact is missing."""
    for trap in traps(files.rules_by_name()):
        if trap.rule.span.file in files.own:
            yield NEGATION.at(
                files.span(trap.term.span),
                f"this holds also where `{trap.written}` has no value",
                "say what must be there, or write a `forbid` rule",
                subject=files.source(trap.rule.span),
            )
