"""Safe fixes: applied to the text, proven to change no decision, and only then written."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protect.errors import ConfigError, PolicyError
from protect.lint.catalogue import Form
from protect.lint.compiled import NoCompiler, policy, same
from protect.lint.findings import Edit, Finding, Report
from protect.lint.polar_files import PolarFiles, parsed
from protect.lint.targets import Target, policies, target
from protect.lint.texts import Text
from protect.polar.syntax import Dot, Literal, Parameter, ShorthandRule, Statement, Term, Variable, inside
from protect.protections.sections import Reader


@dataclass(frozen=True, slots=True)
class Fixed:
    """One file with its text before and after. ``findings`` are those that the change answers."""

    target: Target
    after: str
    findings: tuple[Finding, ...]

    def difference(self) -> str:
        """Return the change as a unified diff."""
        name = self.target.text.file
        before = self.target.text.content.splitlines(keepends=True)
        after = self.after.splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, name, f"{name} (fixed)")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def edited(content: str, edits: Iterable[Edit]) -> str:
    """Apply edits that do not overlap."""
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        content = content[: edit.start] + edit.text + content[edit.end :]
    return content


def fixes(
    targets: Sequence[Target], report: Report, cache: Path | None, beside: Sequence[str] = ()
) -> tuple[list[Fixed], list[str]]:
    """Return the files as the safe fixes leave them, and for each fix that could not be proven a note."""
    fixed: list[Fixed] = []
    notes: list[str] = []
    for one in targets:
        found = [finding for finding in report.findings if finding.span.file == one.text.file]
        safe = _apart([finding for finding in found if finding.fix is not None and finding.fix.safe])
        if not safe:
            continue
        made = _proven(one, safe, targets, cache, beside)
        if made is None:
            # One of them may be what cannot be proven: try each for itself.
            answers = [(finding, _proven(one, [finding], targets, cache, beside)) for finding in safe]
            good = [finding for finding, answer in answers if answer is not None]
            notes += [
                f"{finding.span.file}:{finding.span.line}: {finding.code} is not fixed: that it changes no decision "
                "could not be proven"
                for finding, answer in answers
                if answer is None
            ]
            made = _proven(one, good, targets, cache, beside) if good else None
        if made is not None:
            fixed.append(made)
    return fixed, notes


def _apart(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings whose edits touch no edit of an earlier one."""
    taken: list[tuple[int, int]] = []
    kept: list[Finding] = []
    for finding in findings:
        assert finding.fix is not None
        spans = [(edit.start, edit.end) for edit in finding.fix.edits]
        if any((start < end_ and start_ < end) or start == start_ for start, end in spans for start_, end_ in taken):
            continue
        taken += spans
        kept.append(finding)
    return kept


def _proven(
    one: Target, findings: Sequence[Finding], targets: Sequence[Target], cache: Path | None, beside: Sequence[str]
) -> Fixed | None:
    edits = [edit for finding in findings if finding.fix is not None for edit in finding.fix.edits]
    after = edited(one.text.content, edits)
    if after == one.text.content:
        return None
    changed = target(one.text.file, after.encode(), one.form, one.path)
    if one.form is Form.POLAR:
        proven = _same_policy(one, changed, targets, cache, beside)
    elif one.form is Form.PROTECTION:
        proven = _same_protection(one.text, changed.text)
    else:
        proven = _same_rules(one.text, changed.text)
    return Fixed(one, after, tuple(findings)) if proven else None


def _same_policy(
    one: Target, changed: Target, targets: Sequence[Target], cache: Path | None, beside: Sequence[str]
) -> bool:
    """Whether the policy decides as before: by its graphs, or where these are not to be had, by its rules."""
    group = next((files for files in policies(targets, beside) if one.text.file in files.own), None)
    if group is None:
        return False
    before = [(name, text.content) for name, text in group.texts.items()]
    after = [(name, changed.text.content if name == one.text.file else content) for name, content in before]
    alike = _rules(group) == _rules(parsed([Text(name, content) for name, content in after]))
    if not group.complete:
        return alike  # what could not be read may tell the two apart
    try:
        (left, left_whole), (right, right_whole) = policy(before, cache), policy(after, None)
        # Two graphs that end at the same time are no proof.
        return same(left, right) and left_whole and right_whole
    except (PolicyError, NoCompiler):
        # What cannot be compiled decides nothing yet; the fix must leave every rule as it is but for its spelling.
        return alike


def _rules(files: PolarFiles) -> set[object]:
    """Return what each statement says, whatever its spelling: equal for files that say the same."""
    return {_said(statement, {}) for statement in files.statements}


def _said(node: Statement | Parameter | ShorthandRule | Term, names: dict[str, int]) -> object:
    """Return a part of the tree without its places, its variables numbered as they come."""
    if isinstance(node, Variable):
        return "variable", names.setdefault(node.name, len(names))
    if isinstance(node, Literal):
        return "literal", type(node.value).__name__, node.value
    words = [type(node).__name__]
    for name in ("name", "kind", "operator", "attribute", "head"):
        word = getattr(node, name, None)
        words += [word] if isinstance(word, str) else []
    if isinstance(node, Dot):
        words.append("asked" if node.arguments is None else str(len(node.arguments)))
    for name in ("keywords", "fields", "declarations"):
        pairs = getattr(node, name, None)
        words += [key for key, _ in pairs] if isinstance(pairs, tuple) else []
    return (*words, *(_said(part, names) for part in inside(node)))


def _same_protection(before: Text, after: Text) -> bool:
    readers = [Reader(), Reader()]
    for reader, text in zip(readers, (before, after), strict=True):
        reader.read(text.content, text.file)
    left, right = ([(one.pattern, one.who) for one in reader.sections] for reader in readers)
    return left == right and len(readers[0].problems) == len(readers[1].problems)


def _same_rules(before: Text, after: Text) -> bool:
    from protect.lint.oslo import library

    yaml = library()
    try:
        return bool(yaml.safe_load(before.content) == yaml.safe_load(after.content))
    except yaml.YAMLError:
        return False


def write(fixed: Fixed) -> None:
    """Replace the file at once, with its mode and owner. Raises ConfigError where it was changed meanwhile."""
    if fixed.target.path is None:
        raise ConfigError("standard input cannot be fixed; use `--diff`")
    path = fixed.target.path.resolve()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(fixed.after.encode())
            info = path.stat()
            if (info.st_uid, info.st_gid) != (os.fstat(file.fileno()).st_uid, os.fstat(file.fileno()).st_gid):
                try:
                    os.fchown(file.fileno(), info.st_uid, info.st_gid)
                except PermissionError:
                    raise ConfigError(
                        f"`{path}` belongs to another user, and only that one or root can replace it"
                    ) from None
            shutil.copymode(path, name)
            os.fsync(file.fileno())
        if path.read_bytes() != fixed.target.text.content.encode():
            raise ConfigError(f"`{path}` was changed by somebody else meanwhile; run this again")
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
