"""What lint finds: every page's examples, the shipped policies, suppressions, the baseline, secrets."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest

from protect.errors import ConfigError
from protect.lint import baseline, catalogue, compiled, language, sections, targets
from protect.lint.catalogue import Check, checks
from protect.lint.findings import Report, Severity
from protect.lint.run import MASK, Options, lint

ROOT = Path(__file__).parent.parent
TODAY = date(2026, 6, 1)
PAGES = sorted(checks().values(), key=lambda check: check.code)

OWN = 'allow(subject: Subject, "get_image", image: Image) if\n    image.owner = subject.tenant;\n'
LIST = OWN.replace("get_image", "get_images")
MIXED = (
    'allow(subject: Subject, "get_image", image: Image) if\n'
    '    subject.has_role("admin") or subject.has_role("reader") and image.owner = subject.tenant;\n'
)


def options(
    codes: Iterable[str] = (),
    today: date = TODAY,
    known: Iterable[str] = (),
    exact: bool = True,
    cache: Path | None = None,
) -> Options:
    return Options(frozenset(codes or checks()), today, known=frozenset(known), exact=exact, cache=cache, patience=60)


def found(paths: Iterable[Path], **more: object) -> Report:
    files = [targets.read(path) for path in targets.found(map(str, paths))]
    return lint(files, options(**more))  # type: ignore[arg-type]


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(mode)
    return path


def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


# Pages


@pytest.mark.parametrize("check", PAGES, ids=lambda check: f"{check.code} {check.name}")
def test_the_bad_example_of_a_page_has_its_finding_and_no_other(check: Check, tmp_path: Path) -> None:
    path = write(folder(tmp_path) / check.form.value, check.bad, check.mode)
    report = found([path])
    assert set(codes(report)) == {check.code}
    for finding in report.findings:
        assert finding.name == check.name
        assert finding.severity is check.severity
        assert not finding.message.endswith(".")


@pytest.mark.parametrize("check", PAGES, ids=lambda check: f"{check.code} {check.name}")
def test_the_good_example_of_a_page_is_clean(check: Check, tmp_path: Path) -> None:
    path = write(folder(tmp_path) / check.form.value, check.good)
    assert codes(found([path])) == []


def test_codes_and_names_are_told_apart() -> None:
    assert len({check.name for check in PAGES}) == len(PAGES)
    assert all(re.fullmatch(r"P[LGRPOE]\d{3}", check.code) for check in PAGES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", check.name) for check in PAGES)


@pytest.mark.parametrize("check", PAGES, ids=lambda check: check.code)
def test_a_page_says_everything(check: Check) -> None:
    assert check.summary
    assert check.why.endswith(".")
    assert check.how.endswith((".", ")."))


EXACT = [check for check in PAGES if check.exact and check.severity is Severity.SECURITY]


@pytest.mark.parametrize("check", EXACT, ids=lambda check: check.code)
def test_what_is_decided_on_the_graph_is_shown_by_a_request(check: Check, tmp_path: Path) -> None:
    path = write(folder(tmp_path) / check.form.value, check.bad)
    assert all(finding.witness for finding in found([path]).findings)


# Messages of the compiler


def messages(*modules: str) -> list[str]:
    """Return the texts of those modules that are long enough to be messages of problems."""
    texts = []
    for module in modules:
        tree = ast.parse((ROOT / "protect" / module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            called = getattr(node, "func", None)
            name = getattr(called, "id", getattr(called, "attr", ""))
            place = {"_problem": 1, "problem": 0, "_warn": 1}.get(name)
            if isinstance(node, ast.Call) and place is not None and len(node.args) > place:
                texts.append(shown(node.args[place]))
    return [text for text in texts if len(text.split()) > 2]


def shown(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
    return ""


@pytest.mark.parametrize("message", messages("polar/check.py"))
def test_every_problem_of_the_checker_has_a_code_of_its_own(message: str) -> None:
    from protect.errors import Problem

    assert language.of_problem(Problem("f", 1, 1, message)).code != "PL001"


@pytest.mark.parametrize("message", messages("protections/sections.py", "protections/ini.py"))
def test_every_problem_of_a_protection_file_has_a_code(message: str) -> None:
    from protect.errors import Problem

    assert any(pattern.search(Problem("f", 1, 1, message).message) for pattern, _ in sections._OF_MESSAGE)


# Shipped policies


def test_the_shipped_policies_are_clean(tmp_path: Path) -> None:
    report = found([ROOT / "rules"])
    assert [str(finding) for finding in report.findings] == []
    assert report.suppressed == ()
    assert report.files == len(list((ROOT / "rules").rglob("*.polar")))


def test_the_policies_of_the_examples_are_clean() -> None:
    assert codes(found([ROOT / "examples"])) == []


def test_a_variant_is_checked_beside_the_rules_above_it(tmp_path: Path) -> None:
    rules = folder(tmp_path) / "rules"
    write(
        rules / "base.polar",
        "owns(subject, image) if image.owner = subject.tenant;\n\n"
        + OWN.replace("image.owner = subject.tenant", "owns(subject, image)"),
    )
    variant = write(
        rules / "more" / "one.polar",
        'forbid(subject: Subject, "get_image", image: Image) if\n'
        '    owns(subject, image) and image.status = "killed";\n',
    )
    assert codes(found([variant])) == []
    assert codes(found([rules])) == []
    (rules / "base.polar").unlink()
    assert codes(found([variant])) != []  # the shipped rules have `owns`, but nothing above says so


def test_a_finding_of_the_rules_above_is_not_said_again(tmp_path: Path) -> None:
    rules = folder(tmp_path) / "rules"
    wide = 'allow(subject: Subject, "delete_image", _image: Image) if\n    subject.has_role("member");\n'
    base = write(
        rules / "base.polar",
        'allow(subject: Subject, "get_image", _image: Image) if\n    subject.has_role("member");\n\n' + wide,
    )
    write(
        rules / "more" / "one.polar",
        'forbid(_subject: Subject, "delete_image", image: Image) if\n    image.status = "killed";\n',
    )
    assert [(one.code, one.span.file) for one in found([rules]).findings] == [("PG112", str(base))]


# Grants that differ in one fact


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param('subject.has_role("member")', ["PG112"], id="every member of any tenant"),
        pytest.param('subject.has_role("reader")', ["PG112"], id="every reader"),
        pytest.param("subject.authenticated", ["PG112"], id="everybody"),
        pytest.param('subject.has_role("janitor")', [], id="a role that is not everybody's"),
        pytest.param('subject.has_service_role("member")', [], id="a service"),
        pytest.param('subject.has_role("member") and subject.tenant = "ops"', [], id="one named tenant"),
        pytest.param('subject.has_role("member") and image.name = "x"', ["PG112"], id="every image of some name"),
    ],
)
def test_a_change_of_other_tenants_images(body: str, expected: list[str], tmp_path: Path) -> None:
    image = "image" if "image." in body else "_image"
    rules = "".join(
        f'allow(subject: Subject, "{action}", {image}: Image) if {body};\n' for action in ("get_image", "delete_image")
    )
    assert codes(found([write(folder(tmp_path) / "a.polar", rules)])) == expected


# Suppressions


REASON = 'reason="reads better so"'


@pytest.mark.parametrize(
    ("text", "expected", "hidden"),
    [
        pytest.param(MIXED, ["PL018"], [], id="nothing suppresses"),
        pytest.param(f"# protect: ignore[PL018] {REASON}\n{MIXED}", [], ["PL018"], id="above the rule"),
        pytest.param(f"# protect: ignore[unclear-and-or]\n{MIXED}", [], ["PL018"], id="by name, without a reason"),
        pytest.param(MIXED.rstrip() + f" # protect: ignore[PL018] {REASON}\n", [], ["PL018"], id="on the line"),
        pytest.param(f"# protect: ignore-file[PL018] {REASON}\n\n{LIST}{MIXED}", [], ["PL018"], id="the whole file"),
        pytest.param(f"# protect: ignore[PL018] {REASON} until=2026-06-01\n{MIXED}", [], ["PL018"], id="to this day"),
        pytest.param(f"# protect: ignore[PL018] {REASON} until=2026-05-31\n{MIXED}", ["PE506", "PL018"], [], id="past"),
        pytest.param(f"# protect: ignore[PL019] {REASON}\n{MIXED}", ["PE505", "PL018"], [], id="another code"),
        pytest.param(f"# protect: ignore[PL918] {REASON}\n{MIXED}", ["PE508", "PL018"], [], id="no such code"),
        pytest.param(f"# protect: ignore[PL018] {REASON} until=soon\n{MIXED}", ["PE508", "PL018"], [], id="no day"),
        pytest.param(f'{OWN}\n# not "protect: ignore[PL018]"\n', [], [], id="a comment about it"),
    ],
)
def test_suppressions(text: str, expected: list[str], hidden: list[str], tmp_path: Path) -> None:
    report = found([write(folder(tmp_path) / "a.polar", text)])
    assert sorted(codes(report)) == sorted(expected)
    assert [one.finding.code for one in report.suppressed] == hidden


def test_a_suppression_above_another_rule_does_not_reach(tmp_path: Path) -> None:
    text = f"# protect: ignore[PL018] {REASON}\n{OWN}\n{MIXED}"
    assert "PL018" in codes(found([write(folder(tmp_path) / "a.polar", text)]))


def test_security_is_not_suppressed_without_a_reason(tmp_path: Path) -> None:
    section = "[cost]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n"
    path = folder(tmp_path) / "property-protections.conf"
    assert codes(found([write(path, f'# protect: ignore[PP304] reason="all of cost"\n{section}')])) == ["PP315"]
    assert codes(found([write(path, f"; protect: ignore[PP304]\n{section}")])) == ["PE507", "PP304", "PP315"]


def test_what_was_not_looked_for_is_not_stale(tmp_path: Path) -> None:
    text = f'# protect: ignore[PG112] reason="x"\n{OWN}'
    path = write(folder(tmp_path) / "a.polar", text)
    assert codes(found([path])) == ["PE505"]
    assert codes(found([path], exact=False)) == []


# Baseline and fingerprints


def test_a_fingerprint_stays_when_lines_move(tmp_path: Path) -> None:
    path = write(folder(tmp_path) / "a.polar", MIXED)
    before = [one.fingerprint for one in found([path]).findings]
    write(path, "# one more line\n\n" + MIXED)
    assert [one.fingerprint for one in found([path]).findings] == before
    write(path, MIXED.replace('"admin"', '"operator"'))
    assert [one.fingerprint for one in found([path]).findings] != before


def test_equal_findings_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    path = write(folder(tmp_path) / "a.polar", MIXED + MIXED.replace("get_image", "get_images") + MIXED)
    prints = [one.fingerprint for one in found([path]).findings]
    assert len(prints) == len(set(prints)) > 2


def test_a_baseline_keeps_what_is_known_and_reports_what_is_new(tmp_path: Path) -> None:
    path = write(folder(tmp_path) / "a.polar", MIXED)
    file = write(tmp_path / "baseline.json", baseline.written(found([path]).findings))
    known = baseline.read(file)
    assert codes(found([path], known=known)) == []
    write(path, MIXED + "\nhelper(x) if x = 1;\n")
    assert codes(found([path], known=known)) == ["PL016"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x", "findings": []}', "[" * 100_000])
def test_what_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no baseline"):
        baseline.read(write(tmp_path / "b.json", text))


# Secrets


SECRETS = [
    pytest.param("# https://u:hunter2-and-more@host/", "hunter2-and-more", id="in an address"),
    pytest.param(
        'forbid(subject: Subject, _a, _r) if subject.get("token") = "s3cr3t-s3cr3t";', "s3cr3t-s3cr3t", id="a claim"
    ),
    pytest.param("# eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.abcdef", "eyJhbGciOiJIUzI1NiJ9", id="a signed token"),
]


@pytest.mark.parametrize(("line", "secret"), SECRETS)
def test_a_secret_is_found_and_shown_nowhere(line: str, secret: str, tmp_path: Path) -> None:
    from protect.lint import reports
    from protect.lint.run import secret_words

    path = write(folder(tmp_path) / "a.polar", f"{OWN}{line}\n")
    files = [targets.read(path)]
    report = lint(files, options())
    assert "PE503" in codes(report)
    texts = {one.text.file: one.text for one in files}
    words = secret_words(texts.values())
    for style in reports.Style:
        said = reports.rendered(style, report, texts, version="1", secrets=words)
        assert secret not in said
    assert MASK


@pytest.mark.parametrize(
    "line",
    [
        "# https://images.example/v2",
        'tenant("0123456789abcdef0123456789abcdef");',
        'tenant("8d5c2a3e-6b1f-4a57-9c3b-111111111111");',
        "# password: see the vault",
    ],
)
def test_what_is_no_secret_is_not_found(line: str, tmp_path: Path) -> None:
    assert "PE503" not in codes(found([write(folder(tmp_path) / "a.polar", f"{OWN}{line}\n")]))


# Files


def test_a_folder_that_everybody_may_write_is_found(tmp_path: Path) -> None:
    path = write(folder(tmp_path) / "policy" / "a.polar", OWN)
    assert codes(found([path])) == []
    path.parent.chmod(0o777)
    assert codes(found([path])) == ["PE501"]
    path.parent.chmod(0o1777)
    assert codes(found([path])) == []


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        pytest.param("a.txt", b"", "is not a kind of file", id="unknown kind"),
        pytest.param("none.polar/a.polar", None, "does not exist", id="not there"),
    ],
)
def test_files_that_cannot_be_used(name: str, data: bytes | None, message: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        found([tmp_path / name])


HOSTILE = [
    "",
    "\ufeff",
    "\x00",
    "(" * 5000,
    '"' * 99,
    "[" * 3000,
    "a" * 100_000,
    "allow(",
    "allow(a,b,c) if " + "not " * 2000 + "x;",
    "🙈 = 🙉\n",
    "[a]\ncreate = %(create)s\nread=@\nupdate=@\ndelete=@\n",
    '"x": [[[["y"]]]]',
    "a: &a [*a]",
    "{" * 2000,
    "? [1]\n: 2\n",
    "x: !!python/object/apply:os.system [id]\n",
    "\n".join(f"[{'(' * number}]" for number in range(50)),
    '"get_image": "' + "(" * 3000 + '"',
    '"get_image": "not ' + "not " * 3000 + '@"',
    "[\ud7ff]\r\n\r[x]",
]


@pytest.mark.parametrize("name", ["a.polar", "property-protections.conf", "policy.yaml"])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_no_text_is_an_error_of_ours(number: int, name: str, tmp_path: Path) -> None:
    report = found([write(folder(tmp_path) / name, HOSTILE[number])])
    assert all(one.fingerprint for one in report.findings)


# Without Oso, and the remembered graphs


BLOCKED = """
import sys
sys.modules["oso"] = sys.modules["polar"] = None
from protect.cli import main
sys.exit(main(["lint", "--no-cache", *sys.argv[1:]]))
"""


def without_oso(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_oso_the_text_is_checked_and_the_rest_is_said_once(tmp_path: Path) -> None:
    wide = next(check for check in PAGES if check.code == "PG112").bad
    one = write(folder(tmp_path) / "one" / "a.polar", wide + "\nhelper(x) if x = 1;\n")
    two = write(tmp_path / "two" / "b.polar", wide)
    conf = write(tmp_path / "property-protections.conf", "[cost]\ncreate=@\nread=@\nupdate=@\ndelete=@\n")
    done = without_oso(str(one), str(two), str(conf), "--format", "concise")
    exact = sum(check.exact for check in PAGES)
    assert done.stderr.count(f"oso is not installed: {exact} exact checks were not run") == 1
    assert re.findall(r": (P\w\d+) ", done.stdout) == ["PL016", "PP304", "PP315"]
    assert done.returncode == 1


def test_remembered_graphs_are_used_by_nobody_but_their_owner(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    pairs = [("a.polar", OWN)]
    first, _ = compiled.policy(pairs, cache, 60)
    [file] = cache.iterdir()
    memory = compiled.Memory(cache, "graphs", ("polar", "policy"))
    assert file.name == memory.key(pairs)
    second, _ = compiled.policy(pairs, cache, 60)
    assert compiled.same(first, second)
    # Another policy in its place, a changed one, one that others may write: none of them is read.
    forged = file.read_bytes()
    for data, mode in ((forged[:-2] + b" }", 0o600), (b"", 0o600), (forged, 0o666)):
        file.write_bytes(data)
        file.chmod(mode)
        assert memory.recall(file.name) is None
    file.write_bytes(forged)
    file.chmod(0o600)
    other = cache / ("0" * 64)
    os.rename(file, other)
    assert memory.recall(other.name) is None


def test_no_cache_in_a_folder_that_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found_folder = compiled.cache_folder()
    assert found_folder is not None
    found_folder.chmod(0o777)
    assert compiled.cache_folder() is None


# Choosing


@pytest.mark.parametrize(
    ("words", "some", "none"),
    [
        pytest.param(["PG"], "PG112", "PP304", id="a family"),
        pytest.param(["pp304"], "PP304", "PP305", id="a code in any case"),
        pytest.param(["cross-tenant-write"], "PG112", "PG113", id="a name"),
        pytest.param(["ALL"], "PE501", "PX000", id="all"),
    ],
)
def test_codes_can_be_chosen(words: list[str], some: str, none: str) -> None:
    chosen = catalogue.chosen(words)
    assert some in chosen
    assert none not in chosen


def test_an_unknown_code_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="is no check and no beginning of one; did you mean `cross-tenant-write`"):
        catalogue.chosen(["cross-tenant-wirte"])


# Rules that decide alike


ONE_NAME = 'forbid(s: Subject, "update", p: Property) if p.name = "{}" and not s.has_role("admin");\n'


@pytest.mark.parametrize(
    ("second", "there"),
    [
        pytest.param(ONE_NAME.format("ramdisk_id"), [], id="two names that are forbidden alike"),
        pytest.param(ONE_NAME.format("kernel_id"), ["PR201"], id="one, twice"),
        pytest.param(
            ONE_NAME.format("kernel_id").replace("and not", 'and s.has_role("member") and not'),
            ["PR203"],
            id="one of them within the other",
        ),
    ],
)
def test_a_rule_is_not_hidden_by_one_for_another_name(tmp_path: Path, second: str, there: list[str]) -> None:
    allow = 'allow(s: Subject, "update", p: Property) if p.image.owner = s.tenant;\n'
    path = write(folder(tmp_path) / "a.polar", allow + ONE_NAME.format("kernel_id") + second)
    report = found([path], codes=("PR201", "PR203", "PR204"))
    assert codes(report) == there
    for finding in report.findings:
        # Whatever decides instead, it is another rule.
        assert f":{finding.span.line} " not in f"{finding.message} "
