"""The server: an editor's documents in, diagnostics and answers out, over standard input and output."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

from lsprotocol import types
from pygls import uris
from pygls.lsp.server import LanguageServer

from protect.errors import ProtectError
from protect.lint import catalogue, compiled
from protect.lint.catalogue import Form
from protect.lint.findings import Finding, Severity
from protect.lint.findings import Span as Stretch
from protect.lint.polar_files import PolarFiles, parsed
from protect.lint.run import Options, lint
from protect.lint.targets import Target, form_of, is_found, policies, target
from protect.lint.texts import Text
from protect.lsp import words

log = logging.getLogger("protect.lsp")

#: Seconds without a change until the decision graphs are looked at, and until the text is.
PAUSE: Final = 0.4
_KEYSTROKE: Final = 0.05

#: The name and the text of a document.
_Source = tuple[str, str]

_T = TypeVar("_T")

_SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.SECURITY: types.DiagnosticSeverity.Warning,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.INFO: types.DiagnosticSeverity.Information,
}
_KINDS = {
    "fact": types.CompletionItemKind.Property,
    "action": types.CompletionItemKind.EnumMember,
    "type": types.CompletionItemKind.Class,
    "rule": types.CompletionItemKind.Function,
}


@dataclass(slots=True)
class _Seen:
    """A document: how often it has changed, and what was found in which of its texts."""

    edition: int = 0
    checked: int = 0
    version: int | None = None
    findings: Sequence[Finding] = ()
    waiting: asyncio.Task[None] | None = None


class Server(LanguageServer):
    """The documents of one editor.

    Texts are read and checked by threads, so that the editor never waits for a large one: ``_reading`` what is done
    at once, ``_proving`` what takes longer. Each does one thing at a time, and what is outdated by then not at all.
    """

    def __init__(self, pause: float = PAUSE) -> None:
        super().__init__("protect", "0")
        self.leaving = False
        self._pause = pause
        self._seen: dict[str, _Seen] = {}
        self._cache = compiled.cache_folder()
        self._reading = ThreadPoolExecutor(1)
        self._proving = ThreadPoolExecutor(1)
        #: The policies that were read, by document, until any document changes.
        self._read: dict[str, PolarFiles] = {}

    def changed(self, uri: str) -> None:
        """Check a document: its text at once, its graphs when it has been left alone for a while."""
        self._read = {}
        if not is_found(Path(self.file_of(uri)).name):
            return
        seen = self._seen.setdefault(uri, _Seen())
        if seen.waiting is not None:
            seen.waiting.cancel()
        seen.edition += 1
        seen.version = self.workspace.get_text_document(uri).version
        seen.waiting = asyncio.get_running_loop().create_task(self._check(uri, seen))

    def closed(self, uri: str) -> None:
        """Forget a document."""
        self._read = {}
        seen = self._seen.pop(uri, None)
        if seen is not None and seen.waiting is not None:
            seen.waiting.cancel()
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri=uri, diagnostics=[]))

    async def _check(self, uri: str, seen: _Seen) -> None:
        """Check one text of a document; whatever changes it cancels this."""
        await asyncio.sleep(min(_KEYSTROKE, self._pause))
        for exact, worker in ((False, self._reading), (True, self._proving)):
            found = await _in(worker, self._lint, self._sources(uri), uri, exact)
            self._publish(uri, seen, found)
            await asyncio.sleep(self._pause)

    def _lint(self, sources: Sequence[_Source], uri: str, exact: bool) -> list[Finding]:
        codes = catalogue.chosen(["ALL"])
        name = self.file_of(uri)
        try:
            report = lint(_targets(sources), Options(codes, date.today(), cache=self._cache, exact=exact))
        except (ProtectError, OSError) as error:
            log.warning("cannot check `%s`: %s", name, error)
            return []
        except Exception as error:
            # The editor must go on without it.
            log.error("cannot check `%s`: %s", name, type(error).__name__)
            return []
        return [finding for finding in report.findings if finding.span.file == name]

    @staticmethod
    def file_of(uri: str) -> str:
        """Return what a document is called in findings: its path."""
        return uris.to_fs_path(uri) or uri

    def text(self, uri: str) -> Text:
        """Return the document as it is in the editor."""
        return Text(self.file_of(uri), self.workspace.get_text_document(uri).source)

    def _sources(self, uri: str) -> list[_Source]:
        """Return the document, and the other open ones of its folder."""
        return [(self.file_of(one), self.workspace.get_text_document(one).source) for one in [uri, *self.near(uri)]]

    def near(self, uri: str) -> list[str]:
        """Return the other open documents of a document's folder."""
        folder = Path(self.file_of(uri)).parent
        return [one for one in self.workspace.text_documents if one != uri and Path(self.file_of(one)).parent == folder]

    async def files(self, uri: str) -> PolarFiles:
        """Return the policy that the document is a part of."""
        # Whatever changes meanwhile leaves this dictionary behind, and what is read now with it.
        read = self._read
        found = read.get(uri)
        if found is None:
            found = read[uri] = await _in(self._reading, self._policy, self._sources(uri), self.text(uri))
        return found

    @staticmethod
    def _policy(sources: Sequence[_Source], text: Text) -> PolarFiles:
        try:
            targets = [one for one in _targets(sources) if one.form is Form.POLAR]
            found = next((group for group in policies(targets) if text.file in group.texts), None)
        except (ProtectError, OSError):
            found = None
        return found if found is not None else parsed([text])

    def _publish(self, uri: str, seen: _Seen, findings: Sequence[Finding]) -> None:
        seen.findings, seen.checked = findings, seen.edition
        lines = self.lines(uri)
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(
                uri=uri,
                version=seen.version,
                diagnostics=[self._diagnostic(finding, lines) for finding in findings],
            )
        )

    def _diagnostic(self, finding: Finding, lines: list[str]) -> types.Diagnostic:
        said = [finding.message]
        said += [f"shown by: {finding.witness}"] if finding.witness else []
        said += [f"help: {finding.help}"] if finding.help else []
        return types.Diagnostic(
            range=self._range(finding.span, lines),
            message="\n".join(said),
            severity=_SEVERITIES[finding.severity],
            code=finding.code,
            source="protect",
        )

    def findings_at(self, uri: str, place: types.Position) -> list[Finding]:
        """Return the findings that a place is part of, while the text is the one that was checked."""
        seen = self._seen.get(uri)
        if seen is None or seen.checked != seen.edition:
            return []
        lines = self.lines(uri)
        return [one for one in seen.findings if _overlap(self._range(one.span, lines), place, place)]

    def fixes(self, uri: str, wanted: types.Range) -> list[types.CodeAction]:
        """Return the fixes of the findings in a range, while the text is the one that was checked."""
        seen = self._seen.get(uri)
        if seen is None or seen.checked != seen.edition:
            return []
        text, lines = self.text(uri), self.lines(uri)
        actions = []
        for finding in seen.findings:
            shown = self._range(finding.span, lines)
            if finding.fix is None or not _overlap(shown, wanted.start, wanted.end):
                continue
            edits = [
                types.TextEdit(self._range(text.span(edit.start, edit.end), lines), edit.text)
                for edit in finding.fix.edits
            ]
            actions.append(
                types.CodeAction(
                    title=f"{finding.fix.message} ({finding.code})",
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[self._diagnostic(finding, lines)],
                    edit=types.WorkspaceEdit(changes={uri: edits}),
                    is_preferred=finding.fix.safe,
                )
            )
        return actions

    def lines(self, uri: str) -> list[str]:
        """Return the lines of a document as the editor counts them."""
        return self.workspace.get_text_document(uri).source.split("\n")

    def offset(self, uri: str, place: types.Position) -> int:
        """Return the offset of a place that the editor names."""
        inside = self.workspace.position_codec.position_from_client_units(self.lines(uri), place)
        return self.text(uri).offset(inside.line + 1, inside.character + 1)

    def _range(self, span: Stretch, lines: list[str]) -> types.Range:
        start = types.Position(max(span.line - 1, 0), max(span.column - 1, 0))
        end = types.Position(max(span.end_line - 1, 0), max(span.end_column - 1, 0))
        return self.workspace.position_codec.range_to_client_units(lines, types.Range(start, max(start, end, key=_at)))

    def location(self, file: str, start: int, end: int, texts: Mapping[str, Text]) -> types.Location:
        """Return a stretch of a file for the editor."""
        text = texts[file]
        return types.Location(
            uris.from_fs_path(file) or file, self._range(text.span(start, end), text.content.split("\n"))
        )


async def _in(worker: ThreadPoolExecutor, do: Callable[..., _T], *given: Any) -> _T:
    return await asyncio.get_running_loop().run_in_executor(worker, do, *given)


def _targets(sources: Sequence[_Source]) -> list[Target]:
    """Return documents as what is checked."""
    found = []
    for name, source in sources:
        form, path = form_of(name), Path(name)
        if form is not None and is_found(path.name):
            found.append(target(name, source.encode("utf-8", "replace"), form, path if path.exists() else None))
    return found


def _at(place: types.Position) -> tuple[int, int]:
    return place.line, place.character


def _overlap(shown: types.Range, start: types.Position, end: types.Position) -> bool:
    return _at(shown.start) <= _at(end) and _at(start) <= _at(shown.end)


def _page(finding: Finding) -> str:
    check = catalogue.find(finding.code)
    return f"**{check.code} {check.name}** ({check.severity})\n\n{check.why}\n\n{check.how}"


def server(pause: float = PAUSE) -> Server:
    """Return the server with all that it answers."""
    made = Server(pause)

    @made.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(given: types.DidOpenTextDocumentParams) -> None:
        made.changed(given.text_document.uri)

    @made.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(given: types.DidChangeTextDocumentParams) -> None:
        made.changed(given.text_document.uri)

    @made.feature(types.TEXT_DOCUMENT_DID_SAVE)
    async def saved(given: types.DidSaveTextDocumentParams) -> None:
        # The files of a folder are one policy.
        for uri in (given.text_document.uri, *made.near(given.text_document.uri)):
            made.changed(uri)

    @made.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(given: types.DidCloseTextDocumentParams) -> None:
        made.closed(given.text_document.uri)

    @made.feature(types.TEXT_DOCUMENT_HOVER)
    async def hover(given: types.HoverParams) -> types.Hover | None:
        uri = given.text_document.uri
        parts = [_page(finding) for finding in made.findings_at(uri, given.position)]
        if made.file_of(uri).endswith(".polar"):
            parts.insert(0, words.hover(await made.files(uri), made.text(uri), made.offset(uri, given.position)))
        said = "\n\n---\n\n".join(dict.fromkeys(part for part in parts if part))
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, said)) if said else None

    @made.feature(types.TEXT_DOCUMENT_DEFINITION)
    async def definition(given: types.DefinitionParams) -> list[types.Location]:
        uri = given.text_document.uri
        if not made.file_of(uri).endswith(".polar"):
            return []
        files = await made.files(uri)
        found = words.definitions(files, made.text(uri), made.offset(uri, given.position))
        return [made.location(one.file, one.start, one.end, files.texts) for one in found]

    @made.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", '"', ":"]))
    async def completion(given: types.CompletionParams) -> types.CompletionList:
        uri = given.text_document.uri
        found = []
        if made.file_of(uri).endswith(".polar"):
            found = words.proposals(await made.files(uri), made.text(uri), made.offset(uri, given.position))
        return types.CompletionList(is_incomplete=False, items=[_item(one) for one in found])

    @made.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )
    def fixes(given: types.CodeActionParams) -> list[types.CodeAction]:
        return made.fixes(given.text_document.uri, given.range)

    @made.feature(types.SHUTDOWN)
    def shutdown(_given: None) -> None:
        made.leaving = True

    return made


def _item(one: words.Proposal) -> types.CompletionItem:
    snippet = one.snippet if "$" in one.snippet else ""
    return types.CompletionItem(
        label=one.label,
        kind=_KINDS[one.kind],
        detail=one.detail,
        insert_text=one.snippet or one.label,
        insert_text_format=types.InsertTextFormat.Snippet if snippet else types.InsertTextFormat.PlainText,
    )


def serve() -> int:
    """Answer the editor until it leaves, and return the exit status: 1 if it went without a word.

    Nothing else may write to its stream. A check may still be running afterwards.
    """
    answers: Any = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    made = server()
    made.start_io(sys.stdin.buffer, answers)
    return 0 if made.leaving else 1
