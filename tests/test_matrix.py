"""The matrix: each cell is what queries of that kind are answered, and the golden file tells every change."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from protect.analysis.matrix import ANY, Answer, Matrix, atoms, matrix
from protect.cli import main
from protect.cli.matrix import as_csv
from protect.policy import Policy
from protect.values import Image, Query, Subject
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
