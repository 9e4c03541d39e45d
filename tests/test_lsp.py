"""The language server, driven over its streams by a client as an editor drives it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
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


def drive(folder: Path, story: Callable[[Editor], Awaitable[None]], name: str = "images.polar") -> None:
    async def run() -> None:
        client = LanguageClient("tests", "0")
        editor = Editor(client, (folder / name).as_uri())

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


def applied(text: str, edits: Sequence[types.TextEdit]) -> str:
    """Return a text with edits made as an editor makes them: it counts in UTF-16."""

    def offset(at: types.Position) -> int:
        lines = text.split("\n")
        inside = lines[at.line].encode("utf-16-le")[: at.character * 2].decode("utf-16-le")
        return sum(len(line) + 1 for line in lines[: at.line]) + len(inside)

    for edit in sorted(edits, key=lambda one: offset(one.range.start), reverse=True):
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text


def test_a_fix_behind_an_emoji_is_made_at_its_place(folder: Path) -> None:
    said = 'allow(subject: Subject, "get_image", _image: Image) if subject.id = "😀" and {};\n'
    text = said.format("subject.has_rle(1) = x")

    async def story(editor: Editor) -> None:
        editor.write(text, 1)
        found = await editor.codes(lambda codes: "PL004" in codes)
        whole = types.Range(types.Position(0, 0), types.Position(9, 0))
        given = types.CodeActionParams(editor.document, whole, types.CodeActionContext(found))
        actions = await editor.client.text_document_code_action_async(given) or []
        fixed = [
            applied(text, one.edit.changes[editor.uri])
            for one in actions
            if isinstance(one, types.CodeAction) and one.edit is not None and one.edit.changes is not None
        ]
        assert said.format("subject.has_rle(1) = _x") in fixed

    drive(folder, story)


SECTION = """\
# 😀
[^x_]
create = admin
read = admin
update = admin
delete = {}
"""


@pytest.mark.parametrize(
    ("name", "broken", "whole", "code", "where"),
    [
        pytest.param(
            "property-protections.conf",
            SECTION.format("member, @"),
            SECTION.format("@"),
            "PP313",
            types.Position(5, 9),
            id="a protection file",
        ),
        pytest.param(
            "policy.yaml",
            '# 😀\n"get_image": "role:😀 or rule:nobody"\n',
            '# 😀\n"get_image": "role:😀"\n',
            "PO404",
            types.Position(1, 25),
            id="rules of oslo.policy",
        ),
    ],
)
def test_files_of_other_kinds_are_checked_as_well(
    folder: Path, name: str, broken: str, whole: str, code: str, where: types.Position
) -> None:
    async def story(editor: Editor) -> None:
        editor.write(broken, 1)
        found = await editor.codes(lambda codes: code in codes)
        [start] = [one.range.start for one in found if one.code == code]
        assert start == where
        said = await editor.client.text_document_hover_async(types.HoverParams(editor.document, where))
        assert said is not None and code in said.contents.value  # type: ignore[union-attr]
        editor.write(whole, 2)
        await editor.codes(lambda codes: code not in codes)
        editor.client.text_document_did_save(types.DidSaveTextDocumentParams(editor.document))
        editor.write(broken, 3)
        await editor.codes(lambda codes: code in codes)

    drive(folder, story, name)


def test_saving_one_file_checks_the_others_of_its_folder(folder: Path) -> None:
    admin, rest = POLICY.split("\n", 1)
    rest = rest.replace("admin(subject)", "root(subject)")
    roles = types.TextDocumentIdentifier((folder / "roles.polar").as_uri())

    async def story(editor: Editor) -> None:
        def other(text: str, version: int) -> None:
            whole = types.TextDocumentContentChangeWholeDocument(text)
            of = types.VersionedTextDocumentIdentifier(version=version, uri=roles.uri)
            editor.client.text_document_did_change(types.DidChangeTextDocumentParams(of, [whole]))
            editor.client.text_document_did_save(types.DidSaveTextDocumentParams(roles))

        item = types.TextDocumentItem(roles.uri, "polar", 1, admin.replace("admin(", "root("))
        editor.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        editor.write(rest, 1)
        await editor.codes(lambda codes: not codes)
        other(admin, 2)
        await editor.codes(lambda codes: "PL002" in codes)
        other(admin.replace("admin(", "root("), 3)
        await editor.codes(lambda codes: not codes)

    drive(folder, story)


@pytest.mark.parametrize("name", ["compose.yaml", "glance-api.conf", "package.json"])
def test_files_that_are_no_policy_are_not_checked(folder: Path, name: str) -> None:
    async def story(editor: Editor) -> None:
        other = types.TextDocumentItem((folder / name).as_uri(), "text", 1, "nonsense: [")
        editor.client.text_document_did_open(types.DidOpenTextDocumentParams(other))
        given = types.HoverParams(types.TextDocumentIdentifier(other.uri), types.Position(0, 1))
        assert await editor.client.text_document_hover_async(given) is None
        editor.write("allow(", 1)
        await editor.codes(bool)

    drive(folder, story)


def test_of_what_is_typed_only_the_last_text_is_checked(folder: Path) -> None:
    many = "".join(f'magic("name_{number}");\n' for number in range(500))

    async def story(editor: Editor) -> None:
        for version in range(1, 30):
            editor.write(f"{POLICY}{many}# {'x' * version}", version)
        editor.write(POLICY + many + "allow(", 30)
        await editor.codes(bool)
        assert editor.told[-1].version == 30
        assert len(editor.told) < 10

    drive(folder, story)


@pytest.mark.parametrize(
    ("asked", "status"),
    [pytest.param(True, 0, id="as an editor should"), pytest.param(False, 1, id="without a word before")],
)
def test_the_server_ends_when_it_is_told_even_while_it_checks(folder: Path, asked: bool, status: int) -> None:
    many = "".join(f'allow(s: Subject, "a{n}", i: Image) if s.id = "{n}" and i.size < {n};\n' for n in range(2000))
    opened = {"uri": (folder / "images.polar").as_uri(), "languageId": "polar", "version": 1, "text": many}
    said: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}},
        {"method": "initialized", "params": {}},
        {"method": "textDocument/didOpen", "params": {"textDocument": opened}},
        *([{"id": 2, "method": "shutdown"}] if asked else []),
        {"method": "exit"},
    ]
    bodies = [json.dumps({"jsonrpc": "2.0", **one}).encode() for one in said]
    program = [sys.executable, "-m", "protect", "lsp"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stdin is not None
        for body in bodies:
            running.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        running.stdin.flush()
        assert running.wait(SECONDS) == status


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
