"""What the text of a policy tells before Oso is asked: which texts can meet, and how long Oso will take."""

from __future__ import annotations

import pytest

from protect.polar.effort import least_seconds
from protect.polar.flow import meetings
from protect.polar.parser import parse
from protect.polar.syntax import Statement

HEAD = "allow(s: Subject, action, p: Property) if "


def statements(text: str) -> list[Statement]:
    found, problems = parse(text, "p.polar")
    assert not problems
    return list(found)


@pytest.mark.parametrize(
    ("text", "names", "actions", "crossing"),
    [
        pytest.param('action = "a" and p.name = "n";', "n", "a", False, id="each is compared in place"),
        pytest.param('action in ["a", "b"] and p.name in ["n", "m"];', "mn", "ab", False, id="with lists"),
        pytest.param('action = "a" and p.image.owner = "o";', "", "a", False, id="an owner is no name"),
        pytest.param('action = "a" and p.image.name = "n";', "n", "a", False, id="a name of an image may be one"),
        pytest.param('f(action, p); f("a", p) if p.name = "n";', "n", "a", False, id="the action is passed on"),
        pytest.param('f(action, p.name); f("a", "n");', "n", "a", False, id="both are passed on, side by side"),
        pytest.param('f(action) and f(p.name); f("a");', "a", "a", True, id="both are passed on to the same place"),
        pytest.param('action = p.name and f("a"); f("a");', "", "", True, id="compared with each other"),
        pytest.param('s.has_role("r") and p.image.get("k") = action;', "", "", False, id="asked about, not compared"),
        pytest.param('f(p, x) and x = "n"; f(p, y) if y = p.name;', "n", "", False, id="a helper gives the name back"),
        pytest.param('p matches Property{name: "n"};', "n", "", False, id="a pattern"),
        pytest.param('p matches Property{value: "v"};', "", "", False, id="a pattern of something else"),
        pytest.param('[p.name, action] = ["n", "a"];', "an", "an", True, id="a list holds both"),
        pytest.param('x = {k: "a"} and x = {k: action};', "a", "a", True, id="in a dictionary anything may be"),
        pytest.param(
            'allow(s, p.name, p.image) and action = "a"; allow(_s: Subject, "b", _i: Image);',
            "ab",
            "ab",
            True,
            id="an entry point is asked about the name as an action",
        ),
        pytest.param(
            'has_permission(s, action, p); resource Image { permissions = ["r"]; roles = ["o"]; "r" if "o"; }',
            "",
            "or",
            False,
            id="a block's permissions are actions",
        ),
    ],
)
def test_texts_meet_where_a_rule_brings_them_together(text: str, names: str, actions: str, crossing: bool) -> None:
    found = meetings(statements(HEAD + text))
    assert ("".join(sorted(found.names)), "".join(sorted(found.actions)), found.crossing) == (names, actions, crossing)


@pytest.mark.parametrize(
    ("text", "long"),
    [
        pytest.param("x() if " + " or ".join(["y()"] * 20_000) + ";", True, id="many alternatives"),
        pytest.param("x() if " + " and ".join(["y()"] * 20_000) + ";", True, id="many conditions"),
        pytest.param("x(y) if z(y);" * 20_000, True, id="many rules of one name"),
        pytest.param("".join(f'x("{number}") if y();' for number in range(20_000)), False, id="each for another text"),
        pytest.param('x("y");' * 20_000, False, id="many facts"),
        pytest.param("x() if " + " or ".join(["(y() and z())"] * 2_000) + ";", False, id="fewer alternatives"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_it_is_foreseen_what_takes_oso_long(text: str, long: bool) -> None:
    assert (least_seconds(statements(text)) > 1.5) is long
