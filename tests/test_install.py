"""`protect install` and `protect uninstall`: what they change in a pipeline file, and all that they leave alone."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paste.deploy.loadwsgi import FILTER, ConfigLoader

from protect.cli import main
from protect.errors import ConfigError
from protect.paste_ini import install, uninstall
from tests.glance.server import GLANCE_ENV

ROOT = Path(__file__).parent.parent
SHIPPED = [ROOT / "paste" / name for name in ("glance-api-paste.ini", "glance-api-paste-pipelines.ini")]

NEW = """\
# ours since 2019; do not touch
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = cors unauthenticated-context rootapp
keystone = cors  authtoken   context rootapp
keystone+caching : authtoken context cache rootapp   \n
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""

OLD = """\
[pipeline:glance-api]
pipeline = unauthenticated-context rootapp
[pipeline:glance-api-keystone]
pipeline =
    cors
    # who asks
    authtoken

    context
    rootapp
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""


def pipelines(text: str, path: Path) -> dict[str, list[str]]:
    """Return what PasteDeploy's own parser finds in the pipelines of ``text``."""
    path.write_text(text)
    parser = ConfigLoader(str(path)).parser
    return {
        f"{section} {name}": value.split()
        for section in parser.sections()
        for name, value in parser.items(section)
        if "rootapp" in value.split()
    }


def problem(text: str, after: str = "", **options: str) -> str:
    with pytest.raises(ConfigError) as caught:
        install(text, "x.ini", options, after)
    return str(caught.value)


@pytest.mark.parametrize("text", [NEW, OLD], ids=["since 2023.2", "before"])
def test_the_filter_stands_directly_behind_identity(text: str, tmp_path: Path) -> None:
    before = pipelines(text, tmp_path / "before.ini")
    after = pipelines(install(text, "x.ini", {}).text, tmp_path / "after.ini")

    assert before.keys() == after.keys()
    for name, words in before.items():
        place = words.index("authtoken") + 1 if "authtoken" in words else None
        expected = words if place is None else [*words[:place], "protect", *words[place:]]
        assert after[name] == expected


def test_only_the_words_and_the_section_are_new() -> None:
    changed = install(NEW, "x.ini", {"policy": "/etc/glance/protect", "mode": "shadow"}).text

    assert changed == (
        NEW.replace("cors  authtoken   context", "cors  authtoken protect   context").replace(
            ": authtoken context", ": authtoken protect context"
        )
        + "\n"
        "# protect: begin (`protect install` wrote this part; `protect uninstall` takes it out)\n"
        "[filter:protect]\n"
        "paste.filter_factory = protect.factories:filter_factory\n"
        "policy = /etc/glance/protect\n"
        "mode = shadow\n"
        "# protect: end\n"
    )


def test_the_pipelines_without_identity_are_named() -> None:
    assert install(NEW, "x.ini", {}).notes == ("left alone, because nothing in them verifies who asks: `default`",)


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "dos"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n", "\n# the end", "\n   "], ids=repr)
@pytest.mark.parametrize("text", [NEW, OLD], ids=["since 2023.2", "before"])
def test_taken_out_it_is_the_same_text_again(text: str, last: str, ending: str) -> None:
    text = (text.removesuffix("\n") + last).replace("\n", ending)

    changed = install(text, "x.ini", {"policy": "/p"}).text

    assert changed != text
    assert install(changed, "x.ini", {"policy": "/p"}).text == changed
    assert uninstall(changed, "x.ini").text == text
    assert uninstall(text, "x.ini").text == text


lines = st.sampled_from(
    [
        *("", "   ", "# c", "; c", "  # indented", "#protect", "[other]", "x = authtoken", "é\x85\u2028 = \x0cv"),
        *("  authtoken", "  cors", "paste.composite_factory = x", "y : protect", "z="),
    ]
)


@given(st.lists(lines, max_size=8), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_whatever_stands_around_it_comes_back_as_it_was(around: list[str], ends: bool, ending: str) -> None:
    text = ending.join([*NEW.splitlines(), *around]) + (ending if ends else "")
    try:
        changed = install(text, "x.ini", {}).text
    except ConfigError:
        return

    assert install(changed, "x.ini", {}).text == changed
    assert uninstall(changed, "x.ini").text == text


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_our_own_files_have_it_already(path: Path) -> None:
    text = path.read_text()

    assert install(text, path.name, {}).text == text

    bare = uninstall(text, path.name)
    assert bare.notes == (
        f"{path.name}: `[filter:protect]` stays: it was written by hand; nothing names it any longer",
    )
    assert "authtoken protect" not in bare.text
    assert install(bare.text, path.name, {}).text == text


def test_glance_s_own_file(tmp_path: Path) -> None:
    shipped = GLANCE_ENV / "etc" / "glance" / "glance-api-paste.ini"
    if not shipped.exists():
        pytest.skip("no Glance environment: set PROTECT_GLANCE_ENV")
    text = shipped.read_text()

    changed = install(text, "x.ini", {}).text

    found = pipelines(changed, tmp_path / "x.ini")
    assert {name for name, words in found.items() if "protect" in words} == {
        "composite:api keystone",
        "composite:api keystone+caching",
        "composite:api keystone+cachemanagement",
    }
    assert uninstall(changed, "x.ini").text == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[app:x]\nuse = egg:x\n",
            "x.ini: there are no pipelines here; accepted: Glance's glance-api-paste.ini, with [composite:api] or "
            "[pipeline:…] sections",
            id="a file of another kind",
        ),
        pytest.param(
            NEW.replace(" authtoken", " whoami"),
            "x.ini: no pipeline has `authtoken`, so nothing verifies who asks; if another filter does, name it with "
            "`--after`",
            id="nothing that authenticates",
        ),
        pytest.param(
            NEW.replace("authtoken   context", "authtoken authtoken"),
            "x.ini:5:1: `keystone` authenticates more than once\n    help: leave one of them",
            id="two that authenticate",
        ),
        pytest.param(
            NEW.replace("authtoken context cache", "cache authtoken context"),
            "x.ini:6:1: `keystone+caching` has `cache` before `authtoken`, where it answers anybody\n"
            "    help: put `cache` behind it",
            id="a cache before identity",
        ),
        pytest.param(
            NEW.replace("cors  authtoken", "protect authtoken"),
            "x.ini:5:1: `keystone` has `protect` where it does not protect\n"
            "    help: put it directly after `authtoken`: behind it, and before `cache` and `cachemanage`",
            id="ours before identity",
        ),
        pytest.param(
            NEW.replace("cache rootapp", "cache protect rootapp"),
            "x.ini:6:1: `keystone+caching` has `protect` where it does not protect\n"
            "    help: put it directly after `authtoken`: behind it, and before `cache` and `cachemanage`",
            id="ours behind the cache",
        ),
        pytest.param(
            NEW.replace("cors  authtoken", "authtoken protect protect"),
            "x.ini:5:1: `keystone` has `protect` more than once\n    help: leave one of them",
            id="ours twice",
        ),
        pytest.param(
            "[DEFAULT]\nmode = x\n" + NEW,
            "x.ini:2:1: `mode` in [DEFAULT] would hide the one of `[filter:protect]`\n"
            "    help: move it into the section that it is for",
            id="a default that would win over our section",
        ),
        pytest.param(
            NEW + "[filter:protect]\nuse = egg:other\n",
            "x.ini:11:1: `[filter:protect]` is another filter\n    help: rename that one, here and in pipelines",
            id="another filter of our name",
        ),
        pytest.param(
            NEW + "[app:x]\nfilter-with = authtoken\n",
            "x.ini:11:1: `authtoken` wraps `[app:x]` by `filter-with`, not in a pipeline\n"
            "    help: name it in the pipeline instead",
            id="identity by another way",
        ),
        pytest.param(
            NEW + "[composite:api]\n",
            "x.ini:10:1: `[composite:api]` is there twice\n    help: remove one of them",
            id="a section twice",
        ),
        pytest.param(
            NEW.replace("default", "keystone"),
            "x.ini:5:1: `keystone` is there twice\n    help: remove one of them",
            id="an option twice",
        ),
        pytest.param(
            "x = y\n" + NEW,
            "x.ini:1:1: a line stands before the first section\n    help: is it an ini file?",
            id="no section",
        ),
        pytest.param(
            NEW + "nonsense\n",
            "x.ini:10:1: neither a section, nor an option, nor a comment\n    help: correct it first",
            id="a line that is nothing",
        ),
        pytest.param(
            NEW.replace("cors  ", "cors\r"),
            "x.ini: has a carriage return within a line; accepted: lines that end in \\n or \\r\\n",
            id="old line ends",
        ),
    ],
)
def test_what_is_not_understood_is_refused(text: str, message: str) -> None:
    assert problem(text) == message


def test_another_filter_that_authenticates_can_be_named() -> None:
    text = (
        NEW.replace(" authtoken ", " whoami ")
        .replace("[filter:authtoken]", "[filter:whoami]")
        .replace("keystonemiddleware", "ours")
    )

    assert "whoami protect" in install(text, "x.ini", {}, "whoami").text
    assert problem(text, "nobody") == "x.ini: there is no `[filter:nobody]`; filters: whoami"


def test_keystone_s_filter_is_known_under_another_name_and_the_audit_filter_is_not_taken_for_it() -> None:
    text = (
        NEW.replace("authtoken ", "keystone_auth ").replace("[filter:authtoken]", "[filter:keystone_auth]")
        + "[filter:audit]\npaste.filter_factory = keystonemiddleware.audit:filter_factory\n"
    ).replace("context rootapp", "audit context rootapp")

    changed = install(text, "x.ini", {}).text

    assert "keystone_auth protect   audit context" in changed
    assert "audit protect" not in changed


def test_a_section_that_is_there_is_kept_and_never_contradicted() -> None:
    changed = install(NEW, "x.ini", {"mode": "shadow"}).text

    assert install(changed, "x.ini", {}).text == changed
    assert problem(changed, mode="enforce") == (
        "x.ini:14:1: `[filter:protect]` is there already and has `mode = shadow`\n    help: change it there"
    )
    assert problem(changed, policy="/p") == (
        "x.ini:12:1: `[filter:protect]` is there already and has no `policy`\n    help: change it there"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "# protect: end\n",
            "",
            "x.ini:11:1: the part that `protect install` wrote has lost its begin or its end\n"
            "    help: cut it out by hand",
            id="the end is lost",
        ),
        pytest.param(
            "# protect: end\n",
            "[app:y]\n# protect: end\n",
            "x.ini:18:1: `[app:y]` stands in the part that `protect install` wrote\n"
            "    help: move it below `# protect: end`",
            id="a section of somebody else is in it",
        ),
    ],
)
def test_a_part_that_somebody_has_changed_is_not_cut_out_blindly(old: str, new: str, message: str) -> None:
    changed = install(NEW, "x.ini", {}).text

    with pytest.raises(ConfigError) as caught:
        uninstall(changed.replace(old, new), "x.ini")

    assert str(caught.value) == message


# The command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "glance-api-paste.ini"
    path.write_text(NEW)
    return path


def test_yes_changes_the_file_keeps_the_old_one_and_its_mode(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o640)

    assert main(["install", "--paste", str(file), "--yes"]) == 0

    printed = capsys.readouterr().out
    assert "\n+keystone = cors  authtoken protect   context rootapp\n" in printed
    kept = file.with_name("glance-api-paste.ini.before-protect.1")
    assert f"changed; as it was: {kept}" in printed
    assert kept.read_text() == NEW
    assert file.read_text() == install(NEW, str(file), {}).text
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, kept)] == [0o640, 0o640]
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, kept.name]


def test_a_second_time_there_is_nothing_to_do(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--paste", str(file), "--yes"]) == 0
    first = file.read_bytes()
    capsys.readouterr()

    assert main(["install", "--paste", str(file), "--yes"]) == 0

    assert capsys.readouterr().out == f"{file}: nothing to do\n"
    assert file.read_bytes() == first
    assert len(list(file.parent.iterdir())) == 2


def test_uninstall_brings_back_every_byte(file: Path) -> None:
    before = "# caf\xe9\n".encode("latin-1") + NEW.encode()
    file.write_bytes(before)

    assert main(["install", "--paste", str(file), "--yes"]) == 0
    assert file.read_bytes() != before
    assert main(["uninstall", "--paste", str(file), "--yes"]) == 0

    assert file.read_bytes() == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_dry_run_changes_nothing_and_tells_by_its_status(command: str, file: Path) -> None:
    before = file.read_bytes()

    assert main([command, "--paste", str(file), "--dry-run"]) == (1 if command == "install" else 0)

    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.ini"
    link.symlink_to(file)

    assert main(["install", "--paste", str(link), "--yes"]) == 0

    assert link.is_symlink()
    assert "authtoken protect" in file.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays_the_owner(file: Path) -> None:
    os.chown(file, 65534, 65533)

    assert main(["install", "--paste", str(file), "--yes"]) == 0

    assert {(path.stat().st_uid, path.stat().st_gid) for path in file.parent.iterdir()} == {(65534, 65533)}


def test_options_reach_the_filter_as_they_were_meant(file: Path, tmp_path: Path) -> None:
    policy = tmp_path / "50% of 'ours'.polar"
    policy.write_text('allow(subject: Subject, _action, _resource) if subject.has_role("admin");\n')
    arguments = ["--policy", os.path.relpath(policy), "--mode", "shadow", "--reload", "0", "--decision-log", "all"]

    assert main(["install", "--paste", str(file), "--yes", *arguments]) == 0

    context = ConfigLoader(str(file)).get_context(FILTER, "protect")
    assert context.local_conf.keys() == {"policy", "mode", "reload", "decision_log"}
    filtered = context.create()
    assert callable(filtered)
    assert main(["install", "--paste", str(file), "--dry-run", *arguments]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["--reload", "soon"],
            "`reload = soon` is not accepted; accepted: a number of seconds, 0 for never",
            id="a bad value",
        ),
        pytest.param(
            ["--reload", "1\n[app:x]"],
            "`1\\n[app:x]` cannot stand in an ini file; accepted: text of one line",
            id="a value that would be a line of its own",
        ),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_shown(
    arguments: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "--paste", str(file), "--yes", *arguments]) == 2

    assert capsys.readouterr() == ("", f"protect: {message}\n")
    assert file.read_text() == NEW


def test_a_broken_policy_is_refused_with_every_problem(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "broken.polar"
    policy.write_text("allow(;\n")

    assert main(["install", "--paste", str(file), "--yes", "--policy", str(policy)]) == 2

    assert capsys.readouterr().err.startswith(f"protect: {policy}:1:7: ")
    assert file.read_text() == NEW


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--paste", str(tmp_path), "--yes"]) == 2

    assert capsys.readouterr().err == (
        f"protect: `{tmp_path}` is not a file; accepted: Glance's glance-api-paste.ini\n"
    )


@pytest.mark.parametrize(
    ("answer", "status", "changed"),
    [
        pytest.param("y\n", 0, True, id="yes"),
        pytest.param("\n", 1, False, id="no answer is no"),
        pytest.param("\x04", 1, False, id="the end of the input is no"),
    ],
)
def test_it_asks(answer: str, status: int, changed: bool, file: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    try:
        run = run_in_a_process(["install", "--paste", str(file)], theirs)
    finally:
        os.close(ours)
        os.close(theirs)

    assert run.returncode == status, run.stdout + run.stderr
    assert f"change {file}? [y/N]" in run.stdout
    assert (file.read_text() != NEW) is changed


def test_where_nobody_can_answer_it_does_not_ask(file: Path) -> None:
    run = run_in_a_process(["install", "--paste", str(file)], subprocess.DEVNULL)

    assert run.returncode == 2
    assert run.stderr.endswith(
        "protect: nobody is there to be asked; `--yes` changes the file, `--dry-run` only shows how\n"
    )
    assert file.read_text() == NEW


def run_in_a_process(arguments: list[str], stdin: int) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from protect.cli import main; sys.exit(main({arguments!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdin=stdin, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "example" in text
    assert "exit status:" in text
