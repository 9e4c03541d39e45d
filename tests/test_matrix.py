"""The matrix: each cell is what queries of that kind are answered, and the golden file tells every change."""

from __future__ import annotations

import csv
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from protect.analysis.matrix import ANY, Answer, Matrix, atoms, matrix
from protect.cli import main
from protect.cli.matrix import as_csv
from protect.policy import Policy
from protect.values import Image, Property, Query, Subject
from tests.test_graph_agrees_with_oso import compiled


@pytest.fixture(scope="module")
def shipped() -> Matrix:
    return matrix(Policy.load(["rules"]))


def answer(made: Matrix, row: str, image: str, column: str) -> Answer:
    [found] = {
        cell.answer
        for (of, place, over), cell in made.cells.items()
        if of.label == row and image in atoms(place.label) and over.label == column
    }
    return found


@pytest.mark.parametrize(
    ("row", "image", "column", "expected"),
    [
        pytest.param("role reader", "stranger's public", "get_image", Answer.YES, id="a reader reads public images"),
        pytest.param("role reader", "stranger's private", "get_image", Answer.NO, id="and no private ones of others"),
        pytest.param("role reader", "own private", "get_image", Answer.YES, id="but its own"),
        pytest.param("role reader", "own private", "download_image", Answer.NO, id="a reader downloads nothing"),
        pytest.param("role member", "own private", "download_image", Answer.YES, id="a member its own"),
        pytest.param("role member", "stranger's shared", "download_image", Answer.NO, id="not what others share"),
        pytest.param("role member", "shared with it (pending)", "download_image", Answer.YES, id="but with itself"),
        pytest.param("role admin", "stranger's private", "publicize_image", Answer.YES, id="an admin publishes"),
        pytest.param("role member", "own private", "publicize_image", Answer.NO, id="a member does not"),
        pytest.param("no role", "own private", "get_image", Answer.NO, id="without a role nothing"),
        pytest.param("role member", "own private", "update attribute owner", Answer.NO, id="nobody gives images away"),
        pytest.param("role admin", "own private", "update attribute owner", Answer.YES, id="but admins"),
        pytest.param(
            "role member", "stranger's public", "modify_member (Member)", Answer.DEPENDS, id="its own membership"
        ),
    ],
)
def test_the_shipped_rules_say(shipped: Matrix, row: str, image: str, column: str, expected: Answer) -> None:
    assert answer(shipped, row, image, column) is expected


def test_each_example_is_decided_as_its_cell_says(shipped: Matrix) -> None:
    policy = Policy.load(["rules"])
    for (_row, _place, column), cell in shipped.cells.items():
        assert cell.answer in (Answer.YES, Answer.NO, Answer.DEPENDS)
        assert cell.query is not None
        decision = column.topic.decide(policy, cell.query)
        assert decision.allowed is (cell.answer is not Answer.NO)
        assert bool(cell.condition) is (cell.answer is Answer.DEPENDS)


def test_images_that_nothing_tells_apart_are_one_kind() -> None:
    made = matrix(compiled('allow(s: Subject, "a", i: Image) if s.has_role("x") and i.owner = s.tenant;', None))
    assert [place.label for place in made.places] == ["own any", "shared with it (accepted)", "shared with it (pending)", "stranger's any"]  # fmt: skip  # noqa: E501


def test_a_condition_says_when_it_is_a_yes() -> None:
    made = matrix(
        compiled('allow(s: Subject, "a", i: Image) if s.has_role("x") and i.size < 5 and not i.protected;', None)
    )
    [condition] = {cell.condition for cell in made.cells.values() if cell.answer is Answer.DEPENDS}
    assert condition == "image.size is less than 5 and not (image.protected is true)"


def test_a_role_has_those_that_keystone_makes_it_imply(shipped: Matrix) -> None:
    roles = {row.label: row.roles for row in shipped.rows}
    assert roles["role member"] == {"reader", "member"}
    assert roles["role admin"] == {"reader", "member", "admin"}
    policy = Policy.load(["rules"])
    image = Image(owner="t", visibility="private")
    for label, allowed in (("role reader", True), ("no role", False)):
        asked = Query(Subject(tenant="t", roles=roles[label]), "get_image", image)
        assert policy.decide(asked).allowed is allowed


# --- the command ---

RULE = 'allow(s: Subject, "{}", i: Image) if s.has_role("{}") and i.visibility = "{}";\n'


def policy_file(folder: Path, *rules: tuple[str, str, str]) -> str:
    path = folder / "p.polar"
    path.write_text("".join(RULE.format(*rule) for rule in rules), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("before", "after", "status", "said"),
    [
        pytest.param([("get", "a", "public")], [("get", "a", "public")], 0, "no change", id="nothing changed"),
        pytest.param(
            [("get", "a", "public")],
            [("get", "a", "public"), ("get", "a", "community")],
            1,
            "get on Image, role a, own community, stranger's community: no -> yes",
            id="one visibility more",
        ),
        pytest.param(
            [("get", "a", "public")],
            [("get", "b", "public")],
            1,
            "role b",
            id="another role, that was not there before",
        ),
        pytest.param(
            [("get", "a", "public")],
            [("get", "a", "public"), ("get", "b", "x")],
            1,
            "nobody may do more or less",
            id="a role that may do nothing is no change of rights",
        ),
    ],
)
def test_check_tells_changes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: list[tuple[str, str, str]],
    after: list[tuple[str, str, str]],
    status: int,
    said: str,
) -> None:
    golden = str(tmp_path / "golden.csv")
    assert main(["matrix", policy_file(tmp_path, *before), "--update", golden]) == 0
    assert main(["matrix", policy_file(tmp_path, *after), "--check", golden]) == status
    assert said in capsys.readouterr().out


def test_what_is_no_golden_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "golden.csv"
    path.write_text("a,b\n", encoding="utf-8")
    assert main(["matrix", policy_file(tmp_path, ("get", "a", "public")), "--check", str(path)]) == 2
    assert "is no matrix" in capsys.readouterr().err
    assert main(["matrix", policy_file(tmp_path, ("get", "a", "public")), "--check", str(tmp_path / "nowhere")]) == 2


def test_csv_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = policy_file(tmp_path, ("get", "a", "public"))
    assert main(["matrix", path, "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert main(["matrix", path, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == rows


def test_labels_stand_for_single_kinds() -> None:
    assert len(atoms(ANY)) == 10
    assert atoms("own private/shared") == {"own private", "own shared"}
    assert atoms("shared with it (pending)") == {"shared with it (pending)"}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_and_takes_nothing_from_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "<script>alert(1)</script>'&"
    path = policy_file(tmp_path, (hostile, hostile, "public"), ("get", "a", hostile))
    assert main(["matrix", path, "--format", "html"]) == 0
    page = capsys.readouterr().out
    reader = Reader()
    reader.feed(page)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("script") == 1
    assert "alert(1)</script>" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    targets = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    links = {str(attributes["href"]).removeprefix("#") for tag, attributes in reader.tags if tag == "a"}
    assert links and links <= targets
    assert "prefers-color-scheme: dark" in page
    assert "p.polar:1" in page


def test_the_golden_file_of_the_same_policy_is_the_same(shipped: Matrix) -> None:
    assert as_csv(shipped) == as_csv(matrix(Policy.load(["rules"])))


# --- protection files ---


def sections(*made: tuple[str, str]) -> str:
    rights = "create = {0}\nread = {0}\nupdate = {0}\ndelete = {0}\n"
    return "".join(f"[{pattern}]\n{rights.format(who)}" for pattern, who in made)


def protection(folder: Path, *made: tuple[str, str]) -> str:
    path = folder / "property-protections.conf"
    path.write_text(sections(*made), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        pytest.param("role one", "read like ^a_", Answer.YES, id="the first that fits"),
        pytest.param("role two", "read like ^a_", Answer.NO, id="and no later one"),
        pytest.param("role two", "read like ^b_", Answer.YES, id="the second"),
        pytest.param("role one", "read like ^b_", Answer.NO, id="not for the first one's role"),
        pytest.param("role two", "read any other property", Answer.NO, id="no section: nobody"),
    ],
)
def test_each_section_has_a_column_of_its_own(tmp_path: Path, row: str, column: str, expected: Answer) -> None:
    made = matrix(Policy.load([protection(tmp_path, ("^a_", "one"), ("^b_", "two"))]))
    assert answer(made, row, "own private", column) is expected


def test_a_section_that_no_name_reaches_has_no_column(tmp_path: Path) -> None:
    labels = {one.label for one in matrix(Policy.load([protection(tmp_path, ("^a", "!"), ("^ab", "@"))])).columns}
    assert "read like ^a" in labels
    assert "read like ^ab" not in labels
    assert "read like ^ab" in {
        one.label for one in matrix(Policy.load([protection(tmp_path, ("^ab", "@"), ("^a", "!"))])).columns
    }


def test_each_example_of_a_section_is_decided_as_its_cell_says(tmp_path: Path) -> None:
    path = protection(tmp_path, ("x_one", "member"), ("^x_", "@"), ("y$", "admin,reader"), (".*", "!"))
    policy = Policy.load([path, "rules"])
    made = matrix(policy)
    assert any(column.like for column in made.columns)
    for (_row, _place, column), cell in made.cells.items():
        assert cell.answer is not Answer.UNCLEAR
        if cell.query is not None:
            assert cell.query.action == column.topic.action
            assert column.topic.decide(policy, cell.query).allowed is (cell.answer in (Answer.YES, Answer.DEPENDS))


def test_a_matrix_is_what_brute_force_says(tmp_path: Path) -> None:
    policy = Policy.load([protection(tmp_path, ("^a", "member"), ("b", "reader"), ("^c.*d$", "admin,reader"))])
    made = matrix(policy)
    fitting = {"like ^a": "a", "like b": "b", "like ^c.*d$": "cxd", "any other property": "e"}
    for row in made.rows:
        subject = Subject(tenant="t", roles=row.roles, service_roles=row.service_roles)
        for label, name in fitting.items():
            for operation in ("create", "read", "update", "delete"):
                decided = policy.decide(Query(subject, operation, Property(name, Image(owner="t"))))
                expected = Answer.YES if decided.allowed else Answer.NO
                assert answer(made, row.label, "own private", f"{operation} {label}") is expected


def test_what_there_is_no_time_for_is_unclear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = protection(tmp_path, *((f"^p{number}_", "admin") for number in range(40)), ("x", "member"))
    policy = Policy.load([path])
    ticks = iter(range(10_000))
    made = matrix(policy, patience=60, clock=lambda: float(next(ticks)))
    answers = {cell.answer for cell in made.cells.values()}
    assert Answer.UNCLEAR in answers
    assert Answer.UNCLEAR not in {cell.answer for cell in matrix(policy).cells.values()}
    assert main(["matrix", path, "--patience", "0"]) == 0
    assert "cannot be proven" in capsys.readouterr().err


def test_two_hundred_sections_are_done_in_time(tmp_path: Path) -> None:
    made = ((f"^p{number}_", "admin" if number % 2 else "member") for number in range(200))
    progressed: list[tuple[int, int]] = []
    found = matrix(
        Policy.load([protection(tmp_path, *made)]),
        patience=60,
        progress=lambda done, total: progressed.append((done, total)),
    )
    assert Answer.UNCLEAR not in {cell.answer for cell in found.cells.values()}
    assert len(progressed) == len(found.columns) > 800


@pytest.mark.parametrize("width", [60, 100, 200])
def test_text_fits_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    roles = [("^" + "long_" * number, f"role{number},admin") for number in range(12, 0, -1)]
    for paths in (["rules"], [protection(tmp_path, *roles)], ["rules", protection(tmp_path, *roles)]):
        assert main(["matrix", *paths]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= width


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param([("a", "admin")], [("a", "admin")], "no change", id="nothing"),
        pytest.param([("a", "admin")], [("a", "admin,member")], "like a on Property, role member", id="a role more"),
        pytest.param([("^a", "@")], [("^ab", "!"), ("^a", "@")], "like ^ab on Property", id="a section in front"),
        pytest.param([("x", "admin")], [("^x$", "admin")], "like x on Property", id="a pattern that is tied"),
    ],
)
def test_check_tells_what_changed_of_sections(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: list[tuple[str, str]],
    after: list[tuple[str, str]],
    said: str,
) -> None:
    golden = str(tmp_path / "golden.csv")
    assert main(["matrix", protection(tmp_path, *before), "--update", golden]) == 0
    assert main(["matrix", protection(tmp_path, *after), "--check", golden]) == (0 if said == "no change" else 1)
    assert said in capsys.readouterr().out


def test_a_property_that_loses_a_right_by_being_named_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden, path = str(tmp_path / "golden.csv"), tmp_path / "p.polar"
    every = 'allow(s: Subject, "read", p: Property) if s.has_role("a") and p.image.hidden{};\n'
    path.write_text(every.format(""))
    assert main(["matrix", str(path), "--update", golden]) == 0
    path.write_text(every.format(' and not p.name = "x"'))
    assert main(["matrix", str(path), "--check", golden]) == 1
    assert "read x on Property, role a" in capsys.readouterr().out
    path.write_text(
        every.format("")
        + 'allow(s: Subject, "read", p: Property) if p.name = "x" and s.has_role("a") and p.image.hidden;\n'
    )
    assert main(["matrix", str(path), "--check", golden]) == 0


# --- what other programs read ---


@pytest.mark.parametrize("role", ["=1+1", "+1", "-1", "@x", "'=1", "'x", "plain"])
def test_no_cell_is_a_formula_and_the_golden_file_stays_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    path, golden = policy_file(tmp_path, (role, role, "public")), str(tmp_path / "golden.csv")
    assert main(["matrix", path, "--update", golden]) == 0
    with open(golden, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
    assert any(role in cell for row in rows for cell in row)
    assert main(["matrix", path, "--check", golden]) == 0
    assert capsys.readouterr().out == "no change\n"


@pytest.mark.parametrize("style", ["text", "csv", "html", "json"])
def test_no_format_drives_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], style: str) -> None:
    path = tmp_path / "p.polar"
    path.write_text('allow(s: Subject, "a\\n::b", i: Image) if s.has_role("r\\n|x") and i.get("k\\n") = "\\r";\n')
    assert main(["matrix", str(path), "--format", style]) == 0
    out = capsys.readouterr().out
    assert "\r" not in out
    assert "\n::b" not in out and "\n|x" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--update", "nowhere/m.csv"], "there is no directory `nowhere`", id="no such folder"),
        pytest.param(["--update", "."], "is a directory", id="a folder"),
        pytest.param(["--check", "nofile.csv"], "write it first with --update", id="nothing to compare with"),
    ],
)
def test_what_cannot_be_written_or_read_is_said_with_its_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    path = policy_file(tmp_path, ("get", "a", "public"))
    monkeypatch.chdir(tmp_path)
    assert main(["matrix", path, *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err and f"`{arguments[1]}`" in err


def test_a_pipe_is_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "p.polar")
    for named in (tmp_path, tmp_path / "p.polar"):
        assert main(["matrix", str(named)]) == 2
        assert "is no file" in capsys.readouterr().err
