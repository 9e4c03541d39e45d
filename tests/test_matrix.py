"""The matrix: each cell is what queries of that kind are answered, and the golden file tells every change."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from protect.analysis.matrix import ANY, Answer, Matrix, atoms, matrix
from protect.cli import main
from protect.cli.matrix import as_csv
from protect.cli.matrix_page import page as html_page
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
            "no answer is another one",
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


ANYTHING = 'allow(s: Subject, _action, _r) if s.has_role("member");\n'
NO_DELETION = 'forbid(_s: Subject, "delete_image", _i: Image);\n'
TASKS = 'allow(s: Subject, "add_task", _t: Task) if s.authenticated;\n'
ZOO = 'allow(s: Subject, "delete_image", _i: Image) if s.has_role("zoo");\n'
ADMIN = 'allow(s: Subject, "delete_image", _i: Image) if s.has_role("admin");\n'
ATTRIBUTES = 'forbid(s: Subject, "update", p: Property) if p.core and not s.has_role("member");\n'
OWNER = 'forbid(s: Subject, "update", p: Property) if p.name = "owner" and not s.has_role("member");\n'
STALE = "no answer is another one, but roles, actions or properties came or went: write it with --update\n"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param(
            ANYTHING + NO_DELETION,
            ANYTHING,
            "delete_image on Image, role member, any: no -> yes\n",
            id="an action that is no longer named is any other action",
        ),
        pytest.param(
            ANYTHING,
            ANYTHING + NO_DELETION,
            "delete_image on Image, role member, any: yes -> no\n",
            id="and one that is named now was one",
        ),
        pytest.param(
            ANYTHING + TASKS,
            ANYTHING + TASKS + ZOO,
            "delete_image on Image, role zoo, any: no -> yes\n",
            id="a new role could do before what any subject can",
        ),
        pytest.param(
            ANYTHING + TASKS + ZOO,
            ANYTHING + TASKS,
            "delete_image on Image, role zoo, any: yes -> no\n",
            id="a role that is gone still can",
        ),
        pytest.param(ANYTHING, ANYTHING + ADMIN, STALE, id="an admin is a member, and as such could do it before"),
        pytest.param(
            TASKS,
            TASKS + ADMIN,
            "delete_image on Image, role admin, any: no -> yes\n",
            id="where members could not, it is a change",
        ),
        pytest.param(
            ANYTHING,
            'allow(s: Subject, _action, _r) if s.has_role("zoo");\n',
            "any other action on Image, role member, any: yes -> no\n",
            id="actions that nobody names are told as well",
        ),
        pytest.param(
            ZOO,
            ZOO + OWNER,
            "update owner (attribute) on Property, no role, any: yes -> no\n"
            "update owner (attribute) on Property, role zoo, any: yes -> no\n",
            id="an attribute that nothing forbade was anybody's",
        ),
        pytest.param(
            ZOO + ATTRIBUTES,
            ZOO + OWNER,
            "update any other attribute on Property, no role, any: no -> yes\n",
            id="a rule about all attributes is told",
        ),
    ],
)
def test_what_only_one_policy_names_is_compared_with_all_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, said: str
) -> None:
    path, golden = tmp_path / "p.polar", str(tmp_path / "golden.csv")
    path.write_text(before)
    assert main(["matrix", str(path), "--update", golden]) == 0
    path.write_text(after)
    assert main(["matrix", str(path), "--check", golden]) == 1
    told = capsys.readouterr().out
    assert said in told
    if "any other" not in said:
        assert told == said


def test_a_golden_file_that_says_two_things_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, golden = policy_file(tmp_path, ("get", "a", "public")), tmp_path / "golden.csv"
    assert main(["matrix", path, "--update", str(golden)]) == 0
    head, *rest = golden.read_text().splitlines(keepends=True)
    # As two branches that were merged line by line leave it: the last line must not win.
    denied = next(line for line in rest if ",no," in line)
    golden.write_text("".join([head, denied.replace(",no,", ",yes,"), *rest]))
    assert main(["matrix", path, "--check", str(golden)]) == 2
    assert "says otherwise than a line before it; write it again with --update" in capsys.readouterr().err
    golden.write_text("".join([head, denied, *rest]))
    assert main(["matrix", path, "--check", str(golden)]) == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text.replace("Image,get,", "<<<<<<< HEAD\nImage,get,", 1), id="a merge"),
        pytest.param(lambda text: text.replace(",yes,", ",maybe,", 1), id="an answer that is none"),
        pytest.param(lambda text: text.replace(",own public,", ",my own,", 1), id="an image that is none"),
        pytest.param(lambda text: text.replace("Image,get,", "Picture,get,", 1), id="a type that is none"),
    ],
)
def test_a_damaged_golden_file_hides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[str], str]
) -> None:
    path, golden = policy_file(tmp_path, ("get", "a", "public")), tmp_path / "golden.csv"
    assert main(["matrix", path, "--update", str(golden)]) == 0
    whole = golden.read_text()
    golden.write_text(damage(whole))
    assert golden.read_text() != whole
    assert main(["matrix", path, "--check", str(golden)]) == 2
    assert "is none of a matrix; write it again with --update" in capsys.readouterr().err
    # As a spreadsheet leaves it.
    golden.write_text(whole.replace("\n", "\r\n"), encoding="utf-8-sig")
    assert main(["matrix", path, "--check", str(golden)]) == 0


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
    assert {
        name for _, attributes in reader.tags for name in attributes if name == "style" or name[:2] == "on"
    } == set()
    assert "alert(1)</script>" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    targets = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    links = {str(attributes["href"]).removeprefix("#") for tag, attributes in reader.tags if tag == "a"}
    # The last of them is nowhere: it closes what is open.
    assert links - targets == {"-"} and len(links) > 1
    assert "prefers-color-scheme: dark" in page
    assert "p.polar:1" in page


def test_the_page_allows_itself_its_own_style_and_script_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["matrix", policy_file(tmp_path, ("get", "a", "public")), "--format", "html"]) == 0
    page = capsys.readouterr().out
    [allowed] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert allowed.startswith("default-src 'none'; ") and "unsafe" not in allowed
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{hashed}'" in allowed


def test_every_property_of_the_page_can_be_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"name_{number}" for number in range(20)]
    listed = ", ".join(f'"{name}"' for name in names)
    path = tmp_path / "p.polar"
    path.write_text(f'allow(s: Subject, "read", p: Property) if p.name in [{listed}] and s.has_role("a");\n')
    assert main(["matrix", str(path), "--format", "html"]) == 0
    [line] = re.findall(r'<th scope="row">(<details>.*?)</th>', capsys.readouterr().out)
    assert "and 17 more</summary>" in line
    assert all(re.search(rf"\b{name}\b", line) for name in names)


def test_each_line_of_the_page_has_an_answer_for_each_head(shipped: Matrix) -> None:
    page = html_page(shipped, Policy.load(["rules"]))
    lines = re.findall(r'<tr><th scope="row">.*?</tr>', page, re.DOTALL)
    assert len(lines) == len(shipped.columns)
    assert {line.count("<td") for line in lines} == {page.count('scope="col"') - 1}
    assert page.count('scope="rowgroup"') == len({column.kinds for column in shipped.columns})


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


@pytest.mark.parametrize("role", ["=1+1", "+1", "-1", "@x", "\uff1d1", "'=1", "'x", "plain"])
def test_no_cell_is_a_formula_and_the_golden_file_stays_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    path, golden = policy_file(tmp_path, (role, role, "public")), str(tmp_path / "golden.csv")
    assert main(["matrix", path, "--update", golden]) == 0
    with open(golden, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\uff1d\t\r")]
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
