"""One run of lint: files in, a report out. Pure but for the files' modes and the remembered graphs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from protect.analysis.walking import Found
from protect.errors import PolicyError
from protect.lint import baseline, grants, language, oslo, reach, sections, spare, suppressions, surroundings, words
from protect.lint.catalogue import Form, checks
from protect.lint.compiled import PATIENCE, Memory, NoCompiler, policy
from protect.lint.findings import Finding, Related, Report, Span, Suppressed, with_fingerprints
from protect.lint.grants import Grant
from protect.lint.polar_files import PolarFiles
from protect.lint.spare import Part
from protect.lint.targets import Target, policies
from protect.lint.texts import Text
from protect.polar import check
from protect.polar.effort import least_seconds
from protect.polar.explored import Explored
from protect.polar.parser import remembering
from protect.polar.syntax import Span as PolarSpan
from protect.policy.policy import Policy
from protect.protections.sections import Format

#: What shows in place of a secret.
MASK = "••••••"


@dataclass(frozen=True, slots=True)
class Options:
    """What is looked for. ``codes`` are those to report; ``today`` decides what has expired.

    ``beside`` are the policy files that the given ones are loaded beside, ``known`` the fingerprints of a baseline,
    ``cache`` the folder of remembered graphs, ``exact`` False leaves the graphs alone, ``patience`` is how many seconds
    the exploring of one policy may take.
    """

    codes: frozenset[str]
    today: date
    beside: tuple[str, ...] = ()
    protection_format: str | None = None
    known: frozenset[str] = field(default=frozenset())
    cache: Path | None = None
    exact: bool = True
    patience: float = PATIENCE


@remembering()
def lint(targets: Sequence[Target], options: Options) -> Report:
    """Check the files. Raises ConfigError for input that cannot be used."""
    found: list[Finding] = []
    notes: list[str] = []
    ran = set(options.codes)
    graphs = _Graphs(options.cache, options.patience)
    for files in policies(targets, options.beside):
        if least_seconds(files.statements) > options.patience:
            found += _too_large(files)
            ran.clear()
            continue
        in_text = list(language.findings(files))
        # What cannot be loaded has no graphs.
        broken = not files.complete or any(language.stops(one) for one in in_text)
        found += [*in_text, *words.findings(files), *reach.findings(files)]
        wanted = [code for code in options.codes if checks()[code].exact]
        if not wanted or not options.exact or broken:
            ran -= {code for code in checks() if checks()[code].exact}
            continue
        try:
            found += _exact(files, graphs, notes)
        except NoCompiler:
            ran -= set(wanted)
            note = f"oso is not installed: {len(wanted)} exact checks were not run"
            notes += [note] if note not in notes else []
    found += _others(targets, options, notes)
    closed = {target.text.file for target in targets if target.unread is not None}
    found = [one for one in found if one.span.file not in closed]
    for target in targets:
        if target.unread is not None:
            unread = target.unread
            place = target.text.line(unread.line) if unread.line else Span(target.text.file)
            found.append(surroundings.UNREADABLE.at(place, unread.why, unread.help))
            continue
        found += surroundings.secret_findings(target.text)
        if target.path is not None:
            found += surroundings.permissions(target.path, target.text.file)
    return _report(targets, options, found, notes, ran)


def _others(targets: Sequence[Target], options: Options, notes: list[str]) -> Iterator[Finding]:
    for target in targets:
        if target.unread is not None:
            continue
        if target.form is Form.OSLO:
            yield from oslo.findings(target.text)
        elif target.form is Form.PROTECTION:
            format = sections.format_of(target.text, options.protection_format)
            rules = _rules_for(target, targets) if format is Format.POLICIES else None
            try:
                yield from sections.findings(target.text, format, rules)
            except PolicyError:
                notes.append(
                    f"oslo.policy is not installed: `{target.text.file}` names policy rules, and was not checked"
                )


def _rules_for(target: Target, targets: Sequence[Target]) -> Text | None:
    """Return the file of rules that a protection file in the format ``policies`` means: one given beside it."""
    folder = Path(target.text.file).parent
    found = [one.text for one in targets if one.form is Form.OSLO and one.unread is None]
    return next((one for one in found if Path(one.file).parent == folder), found[0] if len(found) == 1 else None)


def _too_large(files: PolarFiles) -> Iterator[Finding]:
    """Yield what keeps a policy from being loaded, and that there is no time for anything else."""
    first = next(iter(files.texts))
    for problem in (*files.problems, *check.problems(files.statements, first, complete=files.complete)):
        if problem.file in files.own and language.of_problem(problem) is not language.NO_ENTRY:
            yield language.of(files, problem)
    rule = max(files.own_rules(), key=lambda one: one.span.end - one.span.start, default=None)
    if rule is not None:
        yield reach.UNEXPLORED.at(
            files.span(rule.name_span),
            "this policy is too large to be checked in time: nothing is said of what its rules mean",
            "make conditions that differ in a text facts, and write one rule over them; or give it more `--patience`",
            subject="whole policy",
        )


class _Graphs:
    """The policies of one run, each made once, and what they grant."""

    def __init__(self, cache: Path | None, patience: float) -> None:
        self._cache = cache
        self._patience = patience
        #: The policies that there was no time to explore.
        self.unfinished: list[Policy] = []
        self._explored = Explored()
        self._made: dict[tuple[tuple[str, str], ...], Policy] = {}
        self._granted: dict[frozenset[str], list[Grant]] = {}

    def policy(self, pairs: Iterable[tuple[str, str]]) -> Policy:
        """Return the policy of ``(file name, text)`` pairs. Raises PolicyError and NoCompiler."""
        key = tuple(pairs)
        if key not in self._made:
            made, whole = policy(key, self._cache, self._patience, self._explored)
            self._made[key] = made
            self.unfinished += [] if whole else [made]
        return self._made[key]

    def spared(self, files: PolarFiles, find: Callable[[], tuple[list[Part], bool]]) -> list[Part]:
        """Return the parts of rules that could be spared, as found now or the last time."""
        memory = Memory(self._cache, "spare", ("polar", "policy", "analysis", "lint"))
        texts = [(name, text.content) for name, text in files.texts.items()]
        key = memory.key([*texts, *(("own", name) for name in sorted(files.own))])
        content = memory.recall(key)
        if content is not None:
            return spare.read(files, content)
        before = len(self.unfinished)
        try:
            found, whole = find()
        except NoCompiler:
            return []
        if whole and len(self.unfinished) == before:
            # What a busy machine had no time for, the next run may find.
            memory.remember(key, spare.written(found))
        return found

    def granted(self, pairs: Sequence[tuple[str, str]]) -> list[Grant]:
        """Return what a policy grants too widely. Raises PolicyError and NoCompiler.

        The files that others are loaded beside have been checked themselves, perhaps, by another path.
        """
        key = frozenset(text for _, text in pairs)
        if key not in self._granted:
            self._granted[key] = list(grants.grants(self.policy(pairs)))
        return self._granted[key]


def _exact(files: PolarFiles, graphs: _Graphs, notes: list[str]) -> list[Finding]:
    pairs = [(name, text.content) for name, text in files.texts.items()]
    try:
        compiled = graphs.policy(pairs)
    except PolicyError as error:
        return [language.of(files, problem) for problem in error.problems if problem.file in files.own]
    granted = graphs.granted(pairs)
    if beside := [(name, content) for name, content in pairs if name not in files.own]:
        with suppress(PolicyError):
            known = {grant.key for grant in graphs.granted(beside)}
            granted = [grant for grant in granted if grant.key not in known]

    def again(texts: Mapping[str, str]) -> Policy:
        return graphs.policy(texts.items())

    found = list(grants.findings(files, compiled, granted))
    if compiled in graphs.unfinished:
        notes.append(
            f"`{min(files.own)}` is too large to be looked at whole in time: exact checks may have missed something"
        )
        return found

    def spared(decided: Found, dead: Collection[PolarSpan]) -> Iterable[Part]:
        return graphs.spared(files, lambda: spare.spare(files, compiled, decided, dead, again))

    return [*found, *reach.exact(files, compiled, again, spared)]


def _report(
    targets: Sequence[Target], options: Options, found: Iterable[Finding], notes: list[str], ran: set[str]
) -> Report:
    comments: list[suppressions.Suppression] = []
    problems: list[Finding] = []
    for target in targets:
        if target.unread is not None:
            continue
        read, wrong = suppressions.read(target.text, target.form)
        comments += read
        problems += wrong
    remaining, hidden, odd = suppressions.applied(found, comments, options.today, ran)
    chosen = [one for one in with_fingerprints([*remaining, *problems, *odd]) if one.code in options.codes]
    new, known = baseline.divided(chosen, options.known)
    mask = masking(target.text for target in targets)
    suppressed = [
        Suppressed(mask(one.finding), one.reason, one.by) for one in hidden if one.finding.code in options.codes
    ]
    return Report(
        tuple(map(mask, new)),
        (*suppressed, *(Suppressed(mask(one), "", "baseline") for one in known)),
        tuple(notes),
        len(targets),
    )


def masking(texts: Iterable[Text]) -> Callable[[Finding], Finding]:
    """Return a function that takes the secrets of these texts out of a finding."""
    words = secret_words(texts)

    def clean(said: str) -> str:
        for word in words:
            said = said.replace(word, MASK)
        return said

    def mask(finding: Finding) -> Finding:
        if not words:
            return finding
        fix = finding.fix
        if fix is not None and any(clean(edit.text) != edit.text for edit in fix.edits):
            fix = None  # a fix that would write a secret is none to show
        return replace(
            finding,
            message=clean(finding.message),
            help=clean(finding.help),
            witness=clean(finding.witness),
            subject=clean(finding.subject),
            related=tuple(Related(one.span, clean(one.message)) for one in finding.related),
            fix=fix,
        )

    return mask


def secret_words(texts: Iterable[Text]) -> list[str]:
    """Return the secrets in these texts, longest first."""
    found = {text.content[start:end] for text in texts for start, end, _ in surroundings.secrets(text)}
    return sorted((word for word in found if word), key=len, reverse=True)
