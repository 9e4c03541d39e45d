"""Checks of Glance's property-protection files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from protect.errors import PolicyError, Problem
from protect.lint.catalogue import Check, Form
from protect.lint.characters import in_lines
from protect.lint.findings import Edit, Finding, Fix, Related, Severity, Span
from protect.lint.known import LEGACY_ROLES, MAGIC, PROPERTIES, ROLES, core_attributes, misspelt
from protect.lint.texts import Text
from protect.lint.words import ALIKE_NAMES, ALIKE_ROLES, plain_names
from protect.policy.questions import Operator, asker
from protect.protections import ini
from protect.protections.conditions import EVERYONE, AllOf, AnyOf, Ask, Condition, Not
from protect.protections.sections import OPERATIONS, RESERVED, Format, Reader, Section
from protect.values import Image, Property, Query, Subject

_MAGIC_FIRST = f"[^({'|'.join(MAGIC)})$]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n\n"
_REST = "[.*]\ncreate = admin,member\nread = admin,member,reader\nupdate = admin,member\ndelete = admin,member\n"
_GOOD = _MAGIC_FIRST + _REST
_OWN = "create = admin\nread = admin\nupdate = admin\ndelete = admin\n\n"


def _with(first: str) -> str:
    return first + _GOOD


SYNTAX = Check(
    "PP300",
    "protection-syntax",
    Severity.ERROR,
    Form.PROTECTION,
    "the file is not what Glance can read",
    "Glance answers every request with an error while it has such a file; here the service does not start.",
    _with("create = admin\n\n[^x$]\n" + _OWN),
    _with("[^x$]\n" + _OWN),
    "Correct what the message names. A section and a key stand there once; every line belongs to a section.",
)
PATTERN = Check(
    "PP301",
    "unusable-pattern",
    Severity.ERROR,
    Form.PROTECTION,
    "a section's name is no regular expression",
    "Sections are regular expressions, not shell patterns: `*` repeats what stands before it, and cannot stand first.",
    _with("[*foo]\n" + _OWN),
    _with("[^.*foo$]\n" + _OWN),
    "Write a regular expression: `.*` is any text.",
)
SHADOWED = Check(
    "PP302",
    "shadowed-section",
    Severity.ERROR,
    Form.PROTECTION,
    "a section that is never asked",
    "The first section that fits a name decides. What stands behind one that fits all of its names protects nothing.",
    _GOOD + "\n[^x_secret$]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n",
    _with("[^x_secret$]\n" + _OWN),
    "Put it before the section that the finding names, or take it out.",
)
OVERLAP = Check(
    "PP303",
    "overlapping-sections",
    Severity.WARNING,
    Form.PROTECTION,
    "two sections fit some of the same names, and say otherwise",
    "For these names only the order in the file decides, which the next editor may change without noticing.",
    _with("[^hw_]\n" + _OWN + "[^.*_cpu$]\ncreate = @\nread = @\nupdate = @\ndelete = @\n\n"),
    _with("[^hw_]\n" + _OWN + "[^sw_.*_cpu$]\ncreate = @\nread = @\nupdate = @\ndelete = @\n\n"),
    "Make the patterns exclude each other, or one contain the other.",
)
UNANCHORED = Check(
    "PP304",
    "unanchored-pattern",
    Severity.SECURITY,
    Form.PROTECTION,
    "a pattern is found in the middle of other names",
    "Glance searches a pattern anywhere in the name: `[kernel_id]` also decides on `my_kernel_id_2`, so who may write "
    "one name may write others.",
    _with("[cost_centre]\n" + _OWN),
    _with("[^cost_centre$]\n" + _OWN),
    "Begin it with `^`, and end it with `$` where a single name is meant.",
)
GLOB = Check(
    "PP305",
    "shell-pattern",
    Severity.WARNING,
    Form.PROTECTION,
    "a pattern that is meant as a shell pattern",
    "`x_foo_*` means `x_foo` and any number of underscores, not `x_foo_` and any text.",
    _with("[^x_foo_*$]\n" + _OWN),
    _with("[^x_foo_.*$]\n" + _OWN),
    "Write `.*` for any text.",
)
SLOW_PATTERN = Check(
    "PP307",
    "catastrophic-pattern",
    Severity.SECURITY,
    Form.PROTECTION,
    "some names keep the pattern busy for very long",
    "Something without a bound is repeated without a bound, in a pattern that only Python's engine understands: a "
    "tenant chooses a name of forty letters, and the service stands still.",
    _with("[^(?=x)(x+)+$]\n" + _OWN),
    _with("[^x+$]\n" + _OWN),
    "Do without look-around, back-references and flags, or without one of the repetitions.",
)
BLIND = Check(
    "PP308",
    "blind-overwrite",
    Severity.SECURITY,
    Form.PROTECTION,
    "who may create the property may not read it",
    "In Glance adding a property that exists and is hidden takes the right to create: the hidden value is "
    "overwritten by somebody who cannot see it.",
    _with("[^x_secret$]\ncreate = admin,member\nread = admin\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x_secret$]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n\n"),
    "Let who may create it read it, or take the right to create away.",
)
UNREAD = Check(
    "PP309",
    "write-without-read",
    Severity.WARNING,
    Form.PROTECTION,
    "who may update or delete the property may not read it",
    "A property that cannot be read does not exist for the writer, so the right to change it is none.",
    _with("[^x_note$]\ncreate = admin\nread = admin\nupdate = admin,member\ndelete = admin\n\n"),
    _with("[^x_note$]\ncreate = admin\nread = admin,member\nupdate = admin,member\ndelete = admin\n\n"),
    "Let them read it, or take the right to change it out.",
)
MISSING = Check(
    "PP310",
    "missing-operation",
    Severity.ERROR,
    Form.PROTECTION,
    "a section does not say who may do one of the four operations",
    "Glance answers every request with an error while it has such a file.",
    _with("[^x$]\ncreate = admin\nread = admin\nupdate = admin\n\n"),
    _with("[^x$]\n" + _OWN),
    "Write all four; `!` is for nobody, `@` for everybody.",
)
UNKNOWN_KEY = Check(
    "PP311",
    "unknown-key",
    Severity.ERROR,
    Form.PROTECTION,
    "a key that is no operation",
    "It is ignored without a word.",
    _with("[^x$]\nraed = admin\n" + _OWN),
    _with("[^x$]\n" + _OWN),
    "The operations are create, read, update and delete.",
)
DEFAULT_SECTION = Check(
    "PP312",
    "default-section",
    Severity.SECURITY,
    Form.PROTECTION,
    "[DEFAULT] fills the gaps of a section",
    "Whoever forgets an operation in a section gives it away to whom [DEFAULT] names, where there would be an error.",
    _with("[DEFAULT]\ndelete = @\n\n[^x$]\ncreate = admin\nread = @\nupdate = admin\n\n"),
    _with("[^x$]\ncreate = admin\nread = @\nupdate = admin\ndelete = @\n\n"),
    "Write the operation in the section, and take [DEFAULT] out.",
)
CONTRADICTION = Check(
    "PP313",
    "contradictory-roles",
    Severity.ERROR,
    Form.PROTECTION,
    "`@` or `!` stands in a list with something else",
    "`@` means everybody and `!` nobody, whatever else is listed. Both together cannot be loaded.",
    _with("[^x$]\ncreate = admin\nread = @,admin\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x$]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n\n"),
    "Write it alone, or take it out.",
)
EMPTY = Check(
    "PP314",
    "empty-permission",
    Severity.WARNING,
    Form.PROTECTION,
    "an operation that names nobody",
    "It is closed to everybody, which the line does not say: it looks unfinished.",
    _with("[^x$]\ncreate = admin\nread = admin\nupdate =\ndelete = admin\n\n"),
    _with("[^x$]\ncreate = admin\nread = admin\nupdate = !\ndelete = admin\n\n"),
    "Write `!` if nobody is meant (`--fix` does).",
)
NO_CATCH_ALL = Check(
    "PP315",
    "missing-catch-all",
    Severity.INFO,
    Form.PROTECTION,
    "the file does not say what holds for all other properties",
    "A name that no section fits is closed to everybody, admins included.",
    _MAGIC_FIRST,
    _GOOD,
    "End the file with a section `[.*]` that says it.",
)
OPEN_CATCH_ALL = Check(
    "PP316",
    "open-catch-all",
    Severity.SECURITY,
    Form.PROTECTION,
    "everybody may write every property that no other section names",
    "`@` is everybody who may change the image at all, with whatever role. A property that is forgotten above is open.",
    _MAGIC_FIRST + "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n",
    _GOOD,
    "Name the roles, such as `admin,member`.",
)
MAGIC_OPEN = Check(
    "PP317",
    "unprotected-magic-property",
    Severity.SECURITY,
    Form.PROTECTION,
    "members may write properties by which the compute service boots",
    "An image's owner who can change `kernel_id`, `block_device_mapping` or an encryption key's id breaks the boot, or "
    "names what is another tenant's.",
    _REST,
    _GOOD,
    "Put a section before this one that leaves these names to admins and services.",
)
RESERVED_NAMES = Check(
    "PP318",
    "reserved-namespace",
    Severity.WARNING,
    Form.PROTECTION,
    "a section about names that are the API's own",
    "Names that begin with `os_glance` are neither protected nor opened by a section: Glance drops it.",
    _with("[os_glance_secret]\n" + _OWN),
    _GOOD,
    "Take the section out.",
)
MISSPELT = Check(
    "PP319",
    "misspelt-protected-property",
    Severity.WARNING,
    Form.PROTECTION,
    "a property that looks like a well-known one and is none",
    "The well-known property stays unprotected.",
    _with("[^kernal_id$]\n" + _OWN),
    _with("[^kernel_id$]\n" + _OWN),
    "Correct it, or suppress this if there is such a property.",
)
ROLE = Check(
    "PP320",
    "misspelt-role-in-protection",
    Severity.ERROR,
    Form.PROTECTION,
    "a role that looks like one of Keystone's and is none",
    "Nobody has it.",
    _with("[^x$]\ncreate = memeber\nread = @\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x$]\ncreate = member\nread = @\nupdate = admin\ndelete = admin\n\n"),
    "Correct it, or suppress this if your cloud does have such a role.",
)
POLICY_NAME = Check(
    "PP321",
    "unusable-policy-reference",
    Severity.ERROR,
    Form.PROTECTION,
    "the name of a policy rule that cannot be used",
    "In the format `policies` each operation names one rule of policy.yaml. A rule that is not there lets everybody in "
    "in Glance; here it is an error.",
    "# protect: protection-format=policies\n" + "[.*]\ncreate = image_owner\nread = @\nupdate = !\ndelete = !\n",
    "# protect: protection-format=policies\n" + "[.*]\ncreate = context_is_admin\nread = @\nupdate = !\ndelete = !\n",
    "Name one rule that policy.yaml or Glance's own code has.",
)
PERCENT = Check(
    "PP322",
    "percent-sign",
    Severity.ERROR,
    Form.PROTECTION,
    "a `%` that refers to nothing",
    "In these files `%` begins a reference to another value; Glance answers every request with an error.",
    _with("[^x$]\ncreate = 100%\nread = @\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x$]\ncreate = 100%%\nread = @\nupdate = admin\ndelete = admin\n\n"),
    "Write `%%` for the sign itself.",
)
CORE_NAME = Check(
    "PP323",
    "attribute-in-protection",
    Severity.WARNING,
    Form.PROTECTION,
    "a section about an attribute of the API",
    "Protection files decide on custom properties only: `name`, `visibility`, `owner` and the like are not asked for.",
    _with("[^visibility$]\n" + _OWN),
    _GOOD,
    "Write a `forbid` rule about a Property of that name into a `.polar` file.",
)
EXPRESSION = Check(
    "PP324",
    "expression-in-roles",
    Severity.ERROR,
    Form.PROTECTION,
    "what looks like an expression or a comment is the name of one role",
    "There are no expressions, no negation and no comments behind a value: Glance takes all of it for one role, which "
    "nobody has.",
    _with("[^x$]\ncreate = admin # the boss\nread = @\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x$]\n# the boss\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n\n"),
    "Separate roles with commas; put comments in lines of their own.",
)
DOUBTFUL = Check(
    "PP326",
    "doubtful-pattern",
    Severity.INFO,
    Form.PROTECTION,
    "a pattern that a later Python may read otherwise",
    "Python warns about signs that it means to give another meaning.",
    _with("[^x[[]$]\n" + _OWN),
    _with("[^x\\[$]\n" + _OWN),
    "Escape the sign with `\\`.",
)
NOTHING = Check(
    "PP327",
    "empty-protection-file",
    Severity.WARNING,
    Form.PROTECTION,
    "a protection file without a section",
    "Nobody may do anything with any property, admins included.",
    "# nothing yet\n",
    _GOOD,
    "Write `[pattern]` and who may, or do not name the file.",
)
BEHIND = Check(
    "PP328",
    "text-behind-a-section",
    Severity.WARNING,
    Form.PROTECTION,
    "text behind a section's name",
    "Nobody reads it.",
    _with("[^x$] read = @\n" + _OWN),
    _with("[^x$]\n" + _OWN),
    "Write it in a line of its own.",
)
LEGACY = Check(
    "PP329",
    "legacy-role-in-protection",
    Severity.WARNING,
    Form.PROTECTION,
    "a role that Keystone no longer gives",
    "`_member_` was given to everybody in a project until 2018. In a cloud of today nobody has it.",
    _with("[^x$]\ncreate = admin,_member_\nread = @\nupdate = admin\ndelete = admin\n\n"),
    _with("[^x$]\ncreate = admin,member\nread = @\nupdate = admin\ndelete = admin\n\n"),
    "Write `member`, unless your Keystone still gives the old role.",
)

_OF_MESSAGE: Final = tuple(
    (re.compile(pattern), check)
    for pattern, check in (
        (r"is no regular expression", PATTERN),
        (r"does not say who may", MISSING),
        (r"`%|refers to a value|refer to each other", PERCENT),
        (r"^`@` is for everybody and|whatever else is listed", CONTRADICTION),
        (r"byte order mark|stands before any section|is there already|is no `operation = who`", SYNTAX),
        (r"^no section, so nobody", NOTHING),
        (r"is dropped, as in Glance|are open to everybody", RESERVED_NAMES),
        (r"is never asked", SHADOWED),
        (r"behind the section's name is ignored", BEHIND),
        (r"in a later Python", DOUBTFUL),
        (r"repeats what repeats itself", SLOW_PATTERN),
        (r"is ignored: the operations are", UNKNOWN_KEY),
        (r"fills the gaps of every section", DEFAULT_SECTION),
        (r"names nobody|empty name in the list", EMPTY),
        (r"is one role|below it are one role|is one role with", EXPRESSION),
        (r"more than one policy rule|no rule is called|comes back to itself", POLICY_NAME),
        (r"is no check|cannot be understood|asks somebody else|asks for what|asks for what is missing", POLICY_NAME),
        (r"never equal|never holds|is a number, and|compared with true|cannot be compared|mixes text", POLICY_NAME),
        (r"neither a name nor|is no text", POLICY_NAME),
    )
)

_GLOB: Final = re.compile(r"(?:^|[^\\.\])}*+?])(?<![\\.])[\w-]\*|\A\*")
#: Whoever writes these knows what a regular expression is.
_REGULAR: Final = re.compile(r"\A\*|[()\[\]{}|+\\]")
_FORMAT: Final = re.compile(r"^[#;]\s*protect:\s*protection-format=(\w+)\s*$", re.MULTILINE)

#: What Keystone gives along with a role; whoever has another one mostly has these two as well.
_IMPLIED: Final = {
    "admin": ("manager", "member", "reader"),
    "manager": ("member", "reader"),
    "member": ("reader",),
    "reader": (),
    "service": (),
}
#: Names that nobody gives: empty, or of several lines. `^.+$` is meant for all names, though it does not fit these.
_ODD: Final = ("^$", "\n")
#: How many pairs of patterns are compared exactly. The files that people write stay far below.
MOST_PAIRS: Final = 400


def of_message(problem: Problem) -> Check:
    """Return the check that a problem or warning of the reader belongs to."""
    return next((check for pattern, check in _OF_MESSAGE if pattern.search(problem.message)), SYNTAX)


def format_of(text: Text, wanted: str | None = None) -> Format:
    """Return how a file is meant: as the option says, else a comment in it, else its name (`…policies.conf`)."""
    if wanted is not None:
        return Format(wanted)
    found = _FORMAT.search(text.content)
    if found and found[1] in list(Format):
        return Format(found[1])
    return Format.POLICIES if text.file.endswith("-policies.conf") else Format.ROLES


def findings(text: Text, format: Format, rules: Text | None = None) -> Iterator[Finding]:
    """Yield what is odd about one protection file. ``rules`` is the policy.yaml that its policies come from.

    Raises PolicyError where the format is ``policies`` and oslo.policy is not installed.
    """
    yield from in_lines(text, "#;")
    reader, broken = _reader(format, rules)
    reader.read(text.content, text.file)
    if not broken:
        yield from (_of(text, problem) for problem in (*reader.problems, *reader.warnings))
    document = ini.read(text.content, text.file)
    shadowed = {warning.line for warning in reader.warnings if of_message(warning) in (SHADOWED, RESERVED_NAMES)}
    sections = [section for section in reader.sections if section.line not in shadowed]
    blocks = {block.line: block for block in document.blocks}
    for block in document.blocks:
        yield from _block(text, block, format)
    dead: set[int] = set()
    for index, section in enumerate(sections):
        found = list(_shadow(text, blocks, sections[:index], section))
        dead |= {section.line for _ in found}
        yield from found
    living = [section for section in sections if section.line not in dead]
    unanchored = set()
    for section in living:
        for finding in _unanchored(text, blocks[section.line], section):
            unanchored.add(section.line)
            yield finding
    yield from _overlaps(text, blocks, [section for section in living if section.line not in unanchored])
    if not broken and not reader.problems:
        yield from _permissions(text, blocks, living)


def _reader(format: Format, rules: Text | None) -> tuple[Reader, bool]:
    if format is Format.ROLES:
        return Reader(), False
    from protect.protections.checks import RuleBook

    try:
        book = RuleBook(rules.content if rules else "", rules.file if rules else "")
    except PolicyError as error:
        if any("not installed" in problem.message for problem in error.problems):
            raise
        return Reader(lambda *_: EVERYONE), True  # what is wrong with the rules is said of their own file
    return Reader(book.condition), False


def _of(text: Text, problem: Problem) -> Finding:
    check = of_message(problem)
    # A mistake of the file of rules is said of that file.
    span = text.word(problem.line, problem.column) if problem.file == text.file else Span(problem.file, problem.line)
    if span.line and check in (SHADOWED, RESERVED_NAMES, DEFAULT_SECTION, PATTERN, MISSING):
        span = text.line(problem.line)
    fix = None
    if check is EMPTY and "names nobody" in problem.message:
        line = text.lines[problem.line - 1]
        start, end = (text.offset(problem.line, len(one) + 1) for one in (line.rstrip(), line))
        fix = Fix("write `!`", (Edit(start, end, " !"),))
    return check.at(span, problem.message, problem.help, fix=fix, subject=_subject(text, problem.line, problem.message))


def _subject(text: Text, line: int, message: str) -> str:
    """Return the section that a line belongs to, with what is said of it: line numbers left out."""
    for number in range(min(line, len(text.lines)), 0, -1):
        if text.lines[number - 1].startswith("["):
            return f"{text.lines[number - 1]} {re.sub(r'[0-9]+', '', message)}"
    return re.sub(r"[0-9]+", "", message)


def _header(text: Text, block: ini.Block) -> Span:
    start = text.offset(block.line, block.column)
    return text.span(start, start + len(block.name))


def _block(text: Text, block: ini.Block, format: Format) -> Iterator[Finding]:
    header = _header(text, block)
    if _GLOB.search(block.name) and not _REGULAR.search(block.name):
        better = re.sub(r"(?<![\\.\])}])([\w-])\*", r"\1.*", block.name)
        yield GLOB.at(
            header,
            f"`[{block.name}]` is a regular expression: `*` repeats the character before it",
            f"write `{better}` for any text",
            subject=f"[{block.name}]",
        )
    for name in plain_names(block.name):
        near = misspelt(name, PROPERTIES, ALIKE_NAMES)
        if near is not None:
            yield MISSPELT.at(
                header, f"`{name}` is no well-known property", f"did you mean `{near}`?", subject=f"[{block.name}]"
            )
        if name in core_attributes():
            yield CORE_NAME.at(
                header,
                f"`{name}` is an attribute of the API: no protection file decides on it",
                "write a `forbid` rule about it into a `.polar` file",
                subject=f"[{block.name}]",
            )
    if format is Format.ROLES:
        for option in block.options.values():
            if option.key in OPERATIONS:
                yield from _roles(text, block, option)


def _roles(text: Text, block: ini.Block, option: ini.Option) -> Iterator[Finding]:
    for role in option.value.split(","):
        word = role.strip().lower()
        start = text.content.find(role.strip(), text.offset(option.line, option.value_column)) if word else -1
        if start < 0:
            continue
        span, subject = text.span(start, start + len(word)), f"[{block.name}] {option.key} {word}"
        if word in LEGACY_ROLES:
            meant = LEGACY_ROLES[word]
            yield LEGACY.at(span, f"Keystone no longer gives the role `{word}`", f"write `{meant}`", subject=subject)
        elif near := misspelt(word, ROLES, ALIKE_ROLES):
            fix = Fix(f"write `{near}`", (Edit(start, start + len(word), near),), safe=False)
            yield ROLE.at(span, f"`{word}` is no usual role", f"did you mean `{near}`?", fix=fix, subject=subject)


_Pattern = tuple[Operator, str]


def _names(found_in: Sequence[str] = (), not_in: Sequence[str] = ()) -> Any:
    """Return a name that shows it, None where there is none, or something else where that cannot be said."""

    def patterns(texts: Sequence[str]) -> tuple[_Pattern, ...]:
        return tuple((Operator.SEARCHES, text) for text in texts)

    find: Callable[..., Any] = import_module("protect.analysis.names").names
    return find(found_in=patterns(found_in), not_in=patterns(not_in))


def _shadow(
    text: Text, blocks: Mapping[int, ini.Block], earlier: Sequence[Section], section: Section
) -> Iterator[Finding]:
    if not earlier or any(_decides(section, earlier, name) for name in _samples(section)):
        return
    some = _names((section.pattern,), (f"^{RESERVED}",))
    if not isinstance(some, str) or _decides(section, earlier, some):
        return
    # What shares no name with this one takes none away, and proofs about fewer patterns are quicker.
    near = [one for one in earlier if not _apart(one, section) and _names((one.pattern, section.pattern)) is not None]
    if _names((section.pattern,), (*(one.pattern for one in near), f"^{RESERVED}")) is not None:
        return
    block = blocks[section.line]
    fitting = [one for one in earlier if one.search(_samples(section)[0] if _samples(section) else "")] or earlier
    names = ", ".join(f"`[{one.pattern}]`" for one in fitting[:3])
    related = tuple(
        Related(_header(text, blocks[one.line]), f"`[{one.pattern}]` stands before it") for one in fitting[:5]
    )
    yield SHADOWED.at(
        text.line(block.line),
        f"`[{section.pattern}]` is never asked: what stands before it fits every such name ({names})",
        "put it before them, or take it out",
        related=related,
        subject=f"[{section.pattern}]",
    )


def _decides(section: Section, earlier: Sequence[Section], name: str) -> bool:
    return section.search(name) and not name.startswith(RESERVED) and not any(one.search(name) for one in earlier)


def _samples(section: Section) -> list[str]:
    """Return a few names that the section's pattern is likely to be found in."""
    literal = section.literal
    if literal is None:
        return [name for name in ("", "x", "x_y", *MAGIC, *sorted(PROPERTIES)) if section.search(name)][:8]
    tails = ("",) if literal.end else ("", "z", "_9")
    heads = ("",) if literal.start else ("", "z", "9_")
    return [head + literal.text + tail for head in heads for tail in tails]


def _unanchored(text: Text, block: ini.Block, section: Section) -> Iterator[Finding]:
    literal = section.literal
    if literal is not None and literal.start and (literal.end or literal.text not in PROPERTIES):
        return
    if literal is None and (_anchored(section.pattern) or section.search("")):
        return
    witness = ""
    if literal is not None:
        witness = f"{'' if literal.start else 'my_'}{literal.text}{'' if literal.end else '_2'}"
        better = f"^{section.pattern.removeprefix('^').removesuffix('$')}$"
    else:
        shown = _names((section.pattern,), (f"^(?:{section.pattern})", *_ODD))
        if shown is None:
            return
        witness = shown if isinstance(shown, str) else ""
        better = f"^{section.pattern}" if "|" not in section.pattern else f"^({section.pattern})"
    start = text.offset(block.line, block.column)
    yield UNANCHORED.at(
        _header(text, block),
        f"`[{section.pattern}]` is found inside of other names too",
        f"write `[{better}]` if that is not meant",
        witness=f"it decides on `{witness}` as well" if witness else "",
        fix=Fix(f"write `{better}`", (Edit(start, start + len(block.name), better),), safe=False),
        subject=f"[{section.pattern}]",
    )


@cache
def _anchored(pattern: str) -> bool:
    """Whether a pattern is found at the beginning of a name only, as far as its first signs tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _begins(list(import_module("re._parser").parse(pattern)))
    except (re.error, RecursionError, OverflowError):
        return True


def _begins(items: list[Any]) -> bool:
    if not items:
        return False
    operator, argument = str(items[0][0]), items[0][1]
    if operator == "AT":
        return str(argument) in ("AT_BEGINNING", "AT_BEGINNING_STRING")
    if operator == "SUBPATTERN":
        return _begins(list(argument[3]))
    if operator == "BRANCH":
        return all(_begins(list(branch)) for branch in argument[1])
    return operator == "MAX_REPEAT" and argument[0] == 0 and str(argument[1]) == "MAXREPEAT" and _any(argument[2])


def _any(items: Any) -> bool:
    return len(items) == 1 and str(items[0][0]) == "ANY"


def _overlaps(text: Text, blocks: Mapping[int, ini.Block], sections: Sequence[Section]) -> Iterator[Finding]:
    wide = [one for one in sections if one.literal is None or not (one.literal.start and one.literal.end)]
    pairs = 0
    for index, later in enumerate(wide):
        for earlier in wide[:index]:
            if later.who == earlier.who or _apart(earlier, later) or pairs >= MOST_PAIRS or later.search(""):
                continue
            pairs += 1
            name = _names((earlier.pattern, later.pattern), (f"^{RESERVED}",))
            if not isinstance(name, str) or _names((earlier.pattern,), (later.pattern,)) is None:
                continue
            if next((one for one in sections if one.search(name)), None) is not earlier:
                continue  # a third section decides on the names of both
            yield OVERLAP.at(
                _header(text, blocks[later.line]),
                f"`[{later.pattern}]` and `[{earlier.pattern}]` fit some of the same names, and say otherwise",
                "make the patterns exclude each other",
                witness=f"`{name}` is decided by `[{earlier.pattern}]` only because that stands first",
                related=(Related(_header(text, blocks[earlier.line]), "this one stands first"),),
                subject=f"[{earlier.pattern}] [{later.pattern}]",
            )


def _apart(left: Section, right: Section) -> bool:
    """Whether two patterns that begin with plain text can share no name."""
    one, other = left.literal, right.literal
    if one is None or other is None or not (one.start and other.start):
        return False
    return not (one.text.startswith(other.text) or other.text.startswith(one.text))


def _permissions(text: Text, blocks: Mapping[int, ini.Block], sections: Sequence[Section]) -> Iterator[Finding]:
    """Yield what is odd about who may do what, where everything could be read."""
    magic = {name: next((one for one in sections if one.search(name)), None) for name in MAGIC}
    for section in sections:
        yield from _writes(text, blocks[section.line], section)
        opened = _fits_all(section) and any(section.who[one] == EVERYONE for one in ("create", "update", "delete"))
        if opened:
            verbs = ", ".join(one for one in ("create", "update", "delete") if section.who[one] == EVERYONE)
            yield OPEN_CATCH_ALL.at(
                _header(text, blocks[section.line]),
                f"everybody may {verbs} every property that no section before `[{section.pattern}]` names",
                "name the roles, such as `admin,member`",
                witness="a subject without any role, on a property of any name",
                subject=f"[{section.pattern}]",
            )
        names = [name for name, found in magic.items() if found is section]
        if names and not opened:
            yield from _magic(text, blocks[section.line], section, names)
    if (
        sections
        and not _fits_all(sections[-1])
        and isinstance(_names((), [*(one.pattern for one in sections), *_ODD]), str)
    ):
        last = blocks[sections[-1].line]
        yield NO_CATCH_ALL.at(
            _header(text, last),
            "names that no section fits are closed to everybody, admins included",
            "end the file with a section `[.*]` that says what holds for them",
            subject=text.file,
        )


def _fits_all(section: Section) -> bool:
    return section.search("") or _names((), (section.pattern, *_ODD)) is None


def _magic(text: Text, block: ini.Block, section: Section, names: Sequence[str]) -> Iterator[Finding]:
    subject = Subject("u", "t", roles=frozenset({"member", "reader"}))
    verbs = [verb for verb in ("create", "update", "delete") if _holds(section.who[verb], subject, verb, names[0])]
    if verbs:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield MAGIC_OPEN.at(
            _header(text, block),
            f"`[{section.pattern}]` lets members {', '.join(verbs)} `{names[0]}`{more}",
            "put a section before it that leaves these names to admins: " + ", ".join(names),
            witness=f"a subject with the roles member, reader may {verbs[0]} `{names[0]}`",
            subject=f"[{section.pattern}]",
        )


def _writes(text: Text, block: ini.Block, section: Section) -> Iterator[Finding]:
    profiles = [frozenset[str](), *(_implied(role) for role in sorted(_roles_of(section)))]
    for check, verbs in ((BLIND, ("create",)), (UNREAD, ("update", "delete"))):
        for verb in verbs:
            for roles in profiles:
                subject = Subject("u", "t", roles=roles)
                if _holds(section.who[verb], subject, verb) and not _holds(section.who["read"], subject, "read"):
                    who = (
                        f"a subject with the roles {', '.join(sorted(roles))}" if roles else "a subject without a role"
                    )
                    option = block.options.get(verb)
                    span = text.word(option.line, option.column) if option else _header(text, block)
                    yield check.at(
                        span,
                        f"`[{section.pattern}]`: who may {verb} may not always read",
                        "name the same roles for both",
                        witness=f"{who} may {verb}, and not read",
                        subject=f"[{section.pattern}] {verb}",
                    )
                    break


def _implied(role: str) -> frozenset[str]:
    return frozenset({role, *_IMPLIED.get(role, ("member", "reader"))})


def _roles_of(section: Section) -> set[str]:
    found: set[str] = set()
    stack: list[Condition] = list(section.who.values())
    while stack:
        match stack.pop():
            case Ask(question):
                if question.fact == ("subject", "roles") and isinstance(question.operand, str):
                    found.add(question.operand)
            case AnyOf(parts) | AllOf(parts):
                stack += parts
            case Not(part):
                stack.append(part)
    return found


def _holds(condition: Condition, subject: Subject, verb: str, name: str = "x") -> bool:
    query = Query(subject, verb, Property(name, Image(id="i", owner="t", visibility="private"), "v"))
    return _true(condition, query)


def _true(condition: Condition, query: Query) -> bool:
    match condition:
        case Ask(question):
            return asker(question)(query)
        case Not(part):
            return not _true(part, query)
        case AnyOf(parts):
            return any(_true(part, query) for part in parts)
        case AllOf(parts):
            return all(_true(part, query) for part in parts)
