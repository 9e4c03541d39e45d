"""Checks of what surrounds the rules: who may write the file, secrets in it, comments that suppress findings."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from protect.lint.catalogue import Check, Form
from protect.lint.findings import Finding, Severity, Span
from protect.lint.texts import Text

_GOOD = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'
_OPEN = "allow(subject: Subject, action, image: Image) if image.owner = subject.tenant;\n"
_MIXED = (
    'allow(subject: Subject, "get_image", image: Image) if\n'
    '    subject.has_role("admin") or subject.has_role("reader") and image.owner = subject.tenant;\n'
)
_WRONG_ROLE = 'allow(subject: Subject, "get_images", _image: Image) if\n    subject.has_role("members");\n'

WRITABLE = Check(
    "PE501",
    "writable-by-others",
    Severity.SECURITY,
    Form.POLAR,
    "others may change the file",
    "Whoever may write the policy, or the folder that it lies in, decides what it says.",
    _GOOD,
    _GOOD,
    "chmod go-w on the file and on its folder.",
    mode=0o666,
)
SECRET = Check(
    "PE503",
    "secret-in-policy",
    Severity.SECURITY,
    Form.POLAR,
    "what looks like a password, a token or a key",
    "Policies are read by many, shown in reviews and kept in version control. Reports show the place, not the secret.",
    _GOOD + "# tried with https://operator:correct-horse-battery@images.example/v2\n",
    _GOOD + "# tried with https://images.example/v2\n",
    "Take it out and change it where it is valid: it has been seen.",
)
STALE = Check(
    "PE505",
    "stale-suppression",
    Severity.WARNING,
    Form.POLAR,
    "a comment suppresses a finding that is not there",
    "It would hide the next one of this kind, for which nobody gave the reason.",
    '# protect: ignore[PL018] reason="reads better so"\n' + _GOOD,
    _GOOD,
    "Take it out (`--fix` does).",
)
EXPIRED = Check(
    "PE506",
    "expired-suppression",
    Severity.ERROR,
    Form.POLAR,
    "a comment suppresses a finding until a day that is past",
    "What was to be put right by then has not been. The suppression no longer counts.",
    '# protect: ignore[PL018] reason="until the review" until=2020-01-31\n' + _GOOD,
    '# protect: ignore[PL018] reason="until the review" until=9999-01-31\n' + _MIXED,
    "Put it right, or decide anew until when.",
)
UNREASONED = Check(
    "PE507",
    "suppression-without-reason",
    Severity.ERROR,
    Form.POLAR,
    "a comment suppresses a security finding and does not say why",
    "The next reader cannot tell a decision from an oversight. Without a reason it does not count.",
    "# protect: ignore[PL020]\n" + _GOOD,
    '# protect: ignore[PL020] reason="the claim is always set by our identity provider"\n'
    'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant and\n'
    '    not subject.get("banned") = "yes";\n',
    'Add reason="…".',
)
MALFORMED = Check(
    "PE508",
    "malformed-suppression",
    Severity.ERROR,
    Form.POLAR,
    "a comment that is meant to suppress a finding, and cannot be read",
    "It suppresses nothing.",
    "# protect: ignore PL018\n" + _GOOD,
    '# protect: ignore[PL018] reason="reads better so"\n' + _MIXED,
    'Write `# protect: ignore[PL018] reason="why" until=2030-12-31` on the line or above it; `ignore-file[…]` is for '
    "the whole file.",
)
UNREADABLE = Check(
    "PE509",
    "unreadable-text",
    Severity.ERROR,
    Form.POLAR,
    "the file cannot be read, or is not UTF-8 text",
    "No service loads it. Nothing else is said of it, and the exit status is 2 whatever --fail-level says.",
    "# Zugriff f\udcfcr alle Mitglieder\n" + _GOOD,
    "# Zugriff für alle Mitglieder\n" + _GOOD,
    "Save it as UTF-8, or let it be read.",
)

_SECRETS: Final = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", "a private key"),
        (r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'<>]*:(?P<secret>[^\s/@\"'<>]{3,})@", "a password in an address"),
        (
            r"(?i)(?:password|passwd|passphrase|secret|token|api_?key|access_?key|credential)s?[\"')\]]*\s*"
            r"(?::|==?)\s*[\"'](?P<secret>[^\"'\s]{8,})[\"']",
            "a password or token",
        ),
        (r"\b(?P<secret>AKIA[0-9A-Z]{16})\b", "a key of a cloud"),
        (r"\b(?P<secret>gh[pousr]_[A-Za-z0-9]{30,})\b", "a token"),
        (r"\b(?P<secret>gAAAA[A-Za-z0-9_-]{60,}=*)", "a token"),
        (r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)", "a signed token"),
        (r"[\"'](?P<secret>[A-Za-z0-9+/_-]{40,}={0,2})[\"']", ""),
    )
)

#: Not secrets: hashes and identifiers.
_HARMLESS: Final = re.compile(r"[0-9a-fA-F-]+|[a-z_-]+|[A-Z_-]+|[a-z]+(?:[_-][a-z0-9]+)+|%\(\w+\)s")


#: What was found in a text: it is asked for to be reported, and again to be kept out of all that is.
_found: Final[WeakKeyDictionary[Text, list[tuple[int, int, str]]]] = WeakKeyDictionary()


def secrets(text: Text) -> list[tuple[int, int, str]]:
    """Return where secrets stand, from offset to offset, and what each looks like. The widest of overlapping ones."""
    if text not in _found:
        _found[text] = _searched(text)
    return _found[text]


def _searched(text: Text) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for pattern, what in _SECRETS:
        for match in pattern.finditer(text.content):
            start, end = match.span("secret") if "secret" in pattern.groupindex else match.span()
            word = text.content[start:end]
            if _HARMLESS.fullmatch(word) and (not what or what == "a password or token") and len(word) > 30:
                continue
            if not what and not _varied(word):
                continue
            if not any(start < other_end and other_start < end for other_start, other_end, _ in found):
                found.append((start, end, what or "a long random text"))
    return sorted(found)


def _varied(word: str) -> bool:
    return all(any(test(letter) for letter in word) for test in (str.isupper, str.islower, str.isdigit))


def secret_findings(text: Text) -> Iterator[Finding]:
    """Yield a finding for each secret, without the secret."""
    for start, end, what in secrets(text):
        yield SECRET.at(
            text.span(start, end),
            f"this looks like {what}",
            "take it out, and change it where it is valid",
            subject=what,
        )


def permissions(path: Path, name: str) -> Iterator[Finding]:
    """Yield what the file's mode and its folder's let others do. Links are followed: what they lead to counts."""
    try:
        real = path.resolve(strict=True)
        mode, folder = real.stat().st_mode, real.parent.stat()
    except OSError:
        return
    if mode & stat.S_IWOTH:
        yield _writable(name, f"everybody may write the file (mode {stat.S_IMODE(mode):04o})")
    elif mode & stat.S_IWGRP and not _own_group(real):
        yield _writable(name, f"its group may write the file (mode {stat.S_IMODE(mode):04o})")
    # In a sticky folder others can add files and not replace this one.
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        yield _writable(name, f"everybody may replace the file: its folder has mode {stat.S_IMODE(folder.st_mode):04o}")


def _own_group(path: Path) -> bool:
    """Whether the group is the owner's own: systems that give everybody one make files writable for it."""
    info = path.stat()
    return info.st_gid == info.st_uid or (info.st_uid == os.getuid() and info.st_gid == os.getgid() != 0)


def _writable(name: str, message: str) -> Finding:
    return WRITABLE.at(Span(name), message, "chmod go-w", subject=name)
