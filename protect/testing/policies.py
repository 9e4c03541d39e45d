"""The policy of a test file: its sources, compiled, with the ids that its comments give to rules."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from protect import loading
from protect.errors import Problem
from protect.loading import Protection, Sources
from protect.policy.policy import Policy
from protect.policy.saved import is_saved
from protect.testing.documents import SuiteError, suggestion
from protect.testing.suites import PolicySource
from protect.values import Rule

_ID = re.compile(r"^\s*[#;]\s*id:\s*(\S+)\s*$")
_COMMENT = re.compile(r"^\s*[#;]")


@dataclass(slots=True)
class Tested:
    """A policy with what it was made of. ``ids`` are the names of its rules, by their index."""

    policy: Policy
    sources: Sources
    ids: Mapping[int, str] = field(default_factory=dict)

    def name(self, rule: int) -> str:
        """Return how a rule is called: its id and its head."""
        head = self.policy.rules[rule].head
        return f"{self.ids[rule]}: {head}" if rule in self.ids else head

    def fits(self, said: str, rule: int) -> bool:
        """Whether a ``because`` means this rule: by its id, or by its head."""
        return said == self.ids.get(rule) or _plain(said) == _plain(self.policy.rules[rule].head)

    def missing(self, said: str) -> str | None:
        """Return what to say of a ``because`` that means no rule; None where it means one."""
        if any(self.fits(said, rule) for rule in range(len(self.policy.rules))):
            return None
        if re.search(r":\d+$", said):
            return "a rule is not named by its line, which changes; name its head, or an id in a comment `# id: …`"
        return suggestion(said, {*self.ids.values(), *(rule.head for rule in self.policy.rules)})

    def text(self, file: str) -> str:
        """Return the text of one of the sources."""
        return dict(self.sources.files)[file].decode("utf-8")


class Policies:
    """Loads each policy once, for all the files that test it."""

    def __init__(self, override: Sequence[str] = (), protection: Protection = loading.BY_ROLES) -> None:
        """``override``: paths of a policy that takes the place of the one that a test file names."""
        self._override = tuple(override)
        self._protection = protection
        self._loaded: dict[tuple[tuple[str, ...], Protection], Tested] = {}

    def load(self, source: PolicySource, file: str) -> Tested:
        """Return the policy of a test file. Raises SuiteError for a path that is not there, or PolicyError."""
        paths = self._override or tuple(_joined(source.directory, path) for path in source.paths)
        protection = self._protection
        if not self._override:
            rules = _joined(source.directory, source.policy_rules) if source.policy_rules else None
            protection = Protection(source.protection_format, rules)
        for path in paths:
            if not os.path.exists(path):
                help = "correct `--policy`" if self._override else "`policy:` is a path from the test file"
                line = 0 if self._override else source.line
                raise SuiteError([Problem(file, line, int(line > 0), f"the policy `{path}` does not exist", help)])
        if (paths, protection) not in self._loaded:
            self._loaded[paths, protection] = load_tested(loading.read(paths, protection))
        return self._loaded[paths, protection]


def load_tested(sources: Sources) -> Tested:
    """Compile a policy. Raises PolicyError."""
    policy = loading.compile_sources(sources)
    texts = {name: data for name, data in sources.files if not is_saved(data)}
    return Tested(policy, sources, dict(_ids(policy.rules, texts)))


def _ids(rules: Iterable[Rule], texts: Mapping[str, bytes]) -> Iterable[tuple[int, str]]:
    """Yield the index and the id of each rule that has one: ``# id: …`` in the comment directly above it."""
    lines = {name: data.decode("utf-8").split("\n") for name, data in texts.items()}
    for index, rule in enumerate(rules):
        above = rule.line - 2
        while 0 <= above < len(lines.get(rule.file, ())) and _COMMENT.match(lines[rule.file][above]):
            if found := _ID.match(lines[rule.file][above]):
                yield index, found[1]
                break
            above -= 1


def _joined(directory: str, path: str) -> str:
    return os.path.normpath(os.path.join(directory, os.path.expanduser(path)))


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", text).removesuffix(";")
