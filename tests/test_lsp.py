"""The language server, driven over its streams by a client as an editor drives it."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from protect.locate import shipped_rules

SECONDS = 30

#: `😀` is one code point, and two units of what editors count by.
POLICY = """\
admin(subject) if subject.has_role("admin"); # 😀
allow(subject: Subject, "get_image", image: Image) if admin(subject) or image.visibility = "public";
allow(subject: Subject, "delete_image", _image: Image) if admin(subject);
"""


@dataclass
class Editor:
    client: LanguageClient
    uri: str
    told: list[types.PublishDiagnosticsParams] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: str, version: int) -> None:
        if version == 1:
            item = types.TextDocumentItem(self.uri, "polar", version, text)
            self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
            return
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(version=version, uri=self.uri),
                [types.TextDocumentContentChangeWholeDocument(text)],
            )
        )

    async def codes(self, wanted: Callable[[set[Any]], bool]) -> list[types.Diagnostic]:
        """Wait for diagnostics whose codes are as wanted."""
        while True:
            if self.told and wanted({one.code for one in self.told[-1].diagnostics}):
                return list(self.told[-1].diagnostics)
            self.waiting.clear()
            await self.waiting.wait()

    @property
    def document(self) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri)


def drive(folder: Path, story: Callable[[Editor], Awaitable[None]]) -> None:
    async def run() -> None:
        client = LanguageClient("tests", "0")
        editor = Editor(client, (folder / "images.polar").as_uri())

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def published(given: types.PublishDiagnosticsParams) -> None:
            if given.uri == editor.uri:
                editor.told.append(given)
                editor.waiting.set()

        await client.start_io(sys.executable, "-m", "protect", "lsp")
        capabilities = types.ClientCapabilities()
        await client.initialize_async(types.InitializeParams(capabilities, root_uri=folder.as_uri()))
        client.initialized(types.InitializedParams())
        try:
            await story(editor)
        finally:
            await client.shutdown_async(None)
            client.exit(None)
            await client.stop()

    asyncio.run(asyncio.wait_for(run(), SECONDS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "policy"
    made.mkdir()
    yield made


def place(text: str, word: str, nth: int = 0) -> types.Position:
    """Return the place of a word as editors count it."""
    offset = -1
    for _ in range(nth + 1):
        offset = text.index(word, offset + 1)
    before = text[:offset].split("\n")
    return types.Position(len(before) - 1, len(before[-1].encode("utf-16-le")) // 2 + 1)


def test_a_mistake_shows_at_once_and_goes_when_it_is_corrected(folder: Path) -> None:
    async def story(editor: Editor) -> None:
        editor.write(POLICY.replace("admin(subject) or", "admn(subject) or"), 1)
        [mistake] = await editor.codes(lambda codes: len(codes) == 1)
        assert "no rule is called `admn`" in mistake.message
        assert mistake.range.start == types.Position(1, 54)
        editor.write(POLICY, 2)
        await editor.codes(lambda codes: not codes)

    drive(folder, story)


def test_what_the_graphs_say_follows_when_the_text_is_left_alone(folder: Path) -> None:
    async def story(editor: Editor) -> None:
        editor.write(POLICY + 'allow(_subject: Subject, "delete_image", _image: Image);\n', 1)
        found = await editor.codes(lambda codes: "PG112" in codes)
        assert any("shown by" in one.message for one in found)
        assert all(one.source == "protect" for one in found)

    drive(folder, story)


def test_facts_actions_and_rules_are_explained(folder: Path) -> None:
    async def story(editor: Editor) -> None:
        editor.write(POLICY, 1)

        async def said(word: str, nth: int = 0) -> str:
            given = types.HoverParams(editor.document, place(POLICY, word, nth))
            found = await editor.client.text_document_hover_async(given)
            return found.contents.value if found is not None else ""  # type: ignore[union-attr]

        assert "compared without case" in await said("has_role")
        assert "`image.visibility`: text" in await said("visibility")
        assert "an action of Glance, asked about `Image`" in await said("get_image")
        assert 'admin(subject) if subject.has_role("admin");' in await said("admin(", 1)
        assert "What no rule allows is denied" in await said("allow")
        assert await said(" if ") == ""

    drive(folder, story)


def test_a_call_leads_to_its_rules_in_other_files_too(folder: Path) -> None:
    (folder / "roles.polar").write_text('\nadmin(subject) if subject.has_role("admin");\n')
    text = POLICY.split("\n", 1)[1]

    async def story(editor: Editor) -> None:
        editor.write(text, 1)
        given = types.DefinitionParams(editor.document, place(text, "admin("))
        found = await editor.client.text_document_definition_async(given)
        assert isinstance(found, list)
        [rule] = found
        assert isinstance(rule, types.Location)
        assert rule.uri == (folder / "roles.polar").as_uri()
        assert rule.range == types.Range(types.Position(1, 0), types.Position(1, 5))

    drive(folder, story)


@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        pytest.param(
            'allow(s: Subject, "get_image", i: Image) if i.', "visibility", "has_role", id="facts of an image"
        ),
        pytest.param("allow(s: Subject, _action, _i: Image) if s.", "has_role", "visibility", id="facts of a subject"),
        pytest.param('allow(s: Subject, "', "download_image", "allow", id="actions in quotes"),
        pytest.param("allow(s: ", "Subject", "get_image", id="types behind a colon"),
        pytest.param("allow(s: Subject, _action, _i: Image) if ad", "admin", "Subject", id="rules of the policy"),
    ],
)
def test_what_could_come_next_is_proposed(folder: Path, line: str, there: str, not_there: str) -> None:
    text = POLICY + line

    async def story(editor: Editor) -> None:
        editor.write(text, 1)
        given = types.CompletionParams(editor.document, types.Position(POLICY.count("\n"), len(line)))
        found = await editor.client.text_document_completion_async(given)
        assert isinstance(found, types.CompletionList)
        labels = {one.label for one in found.items}
        assert there in labels
        assert not_there not in labels

    drive(folder, story)


def test_a_finding_comes_with_its_fix_and_the_fix_corrects_it(folder: Path) -> None:
    text = POLICY.replace("_image: Image", "image: Image")

    async def story(editor: Editor) -> None:
        editor.write(text, 1)
        [found] = await editor.codes(lambda codes: len(codes) == 1)
        given = types.CodeActionParams(editor.document, found.range, types.CodeActionContext([found]))
        actions = await editor.client.text_document_code_action_async(given)
        assert actions
        [action] = actions
        assert isinstance(action, types.CodeAction)
        assert action.edit is not None and action.edit.changes is not None
        [edit] = action.edit.changes[editor.uri]
        assert edit.new_text.startswith("_")
        assert edit.range.start.line == 2

    drive(folder, story)


def test_the_shipped_rules_show_nothing(folder: Path) -> None:
    for path in shipped_rules().glob("*.polar"):
        shutil.copy(path, folder)

    async def story(editor: Editor) -> None:
        editor.write((folder / "images.polar").read_text(), 1)
        await editor.codes(lambda codes: not codes)

    drive(folder, story)


def test_a_file_of_another_kind_is_left_alone_and_a_broken_one_does_not_end_the_server(folder: Path) -> None:
    async def story(editor: Editor) -> None:
        other = types.TextDocumentItem((folder / "notes.txt").as_uri(), "text", 1, "allow(")
        editor.client.text_document_did_open(types.DidOpenTextDocumentParams(other))
        editor.write('allow(subject: Subject, "', 1)
        await editor.codes(bool)
        editor.write(POLICY, 2)
        await editor.codes(lambda codes: not codes)
        assert {one.uri for one in editor.told} == {editor.uri}

    drive(folder, story)
