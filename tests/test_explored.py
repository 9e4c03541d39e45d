"""Graphs that policies have in common: a policy that takes them over decides as one that was explored by itself."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

from protect.lint.compiled import same
from protect.polar.compiler import compile_policy
from protect.polar.explored import Explored
from protect.polar.parser import parse
from protect.polar.syntax import Rule
from protect.policy.policy import Policy

RULES = Path(__file__).parent.parent / "rules"
SHIPPED = [(path.name, path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.polar"))]
VARIANTS = sorted((RULES / "variants").glob("*.polar"))
BODIES = [
    (number, rule.body.span.start, rule.body.span.end)
    for number, (file, text) in enumerate(SHIPPED)
    for rule in parse(text, file)[0]
    if isinstance(rule, Rule) and rule.body is not None
]

BASE = """
admin(s) if s.has_role("admin");
helper(s, i) if s.tenant = i.owner;
allow(s: Subject, "get_image", i: Image) if admin(s) or helper(s, i);
allow(s: Subject, "read", p: Property) if p.name = "a" and admin(s);
"""


def agrees(files: list[tuple[str, str]], explored: Explored) -> Policy:
    """Compile with what is known of other policies; fails unless that is what comes of the files alone."""
    alone = compile_policy(files, "r")
    compiled = compile_policy(files, "r", explored=explored)
    assert same(alone, compiled)
    assert [str(rule) for rule in alone.rules] == [str(rule) for rule in compiled.rules]
    assert deciders(alone) == deciders(compiled)
    return compiled


def deciders(policy: Policy) -> list[object]:
    """Return the rule at every leaf, walking each graph in the order of its questions."""
    found: list[object] = []

    def walk(node: object) -> None:
        branches = getattr(node, "branches", None)
        if branches is None:
            found.append((node.holds, node.rule))
        elif isinstance(branches, tuple):
            for branch in branches:
                walk(branch)
        else:
            for literal in sorted(branches):
                walk(branches[literal])
            walk(branches.otherwise)

    for key in sorted(policy.table.actions):
        for root in policy.table.actions[key].roots():
            walk(root)
    for action in sorted(policy.table.properties):
        for name in sorted(policy.table.properties[action].names):
            for root in policy.table.properties[action].names[name].roots():
                walk(root)
    return found


BLOCK = """
actor Subject {}
resource Image { roles = ["owner", "reader"]; permissions = ["get_image"];
    "get_image" if "reader"; "reader" if "owner"; }
has_role(s: Subject, "owner", i: Image) if s.tenant = i.owner;
allow(s: Subject, action, i: Image) if has_permission(s, action, i);
"""


@pytest.fixture(scope="module")
def explored() -> Explored:
    """What is known once the shipped rules are."""
    known = Explored()
    compile_policy(SHIPPED, "r", explored=known)
    return known


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_of_the_shipped_rules_takes_over_their_graphs(variant: Path, explored: Explored) -> None:
    for files in (
        [*SHIPPED, (variant.name, variant.read_text(encoding="utf-8"))],
        # Before them: every rule has another number.
        [(variant.name, variant.read_text(encoding="utf-8")), *SHIPPED],
    ):
        agrees(files, explored)


@pytest.mark.parametrize("body", BODIES[::4], ids=str)
def test_so_does_a_policy_in_which_a_rule_never_holds(body: tuple[int, int, int], explored: Explored) -> None:
    number, start, end = body
    files = list(SHIPPED)
    file, text = files[number]
    files[number] = file, f"{text[:start]}1 = 2 and ({text[start:end]}){text[end:]}"
    agrees(files, explored)


DIFFERENT = [
    pytest.param('has_role("admin")', 'has_role("root")', id="a rule that an entry point comes to"),
    pytest.param("s.tenant = i.owner", "s.id = i.owner", id="another of them"),
    pytest.param("admin(s) or helper(s, i)", "helper(s, i)", id="the body of an entry point"),
    pytest.param('"get_image"', "_", id="the action in a head"),
    pytest.param("i: Image", "i: Task", id="the type in a head"),
    pytest.param('p.name = "a"', 'p.name = "b"', id="the name of a property"),
    pytest.param("\nallow(", '\nadmin(s) if s.id = "x";\nallow(', id="one more rule of a name"),
    pytest.param(
        "\nallow(",
        '\nallow(s: Subject, action, _: Image) if action in ["get_image"] and s.id = "x";\nallow(',
        id="one more rule of an action",
    ),
]

ALIKE = [
    pytest.param("admin(s) if s.", "admin(who) if who.", id="another name of a variable"),
    pytest.param("\nadmin(s)", '\nforbid(_, "get_image", _: Image) if 1 = 2;\nadmin(s)', id="a rule before them"),
    pytest.param(" or helper", "\n  or # he who owns it\n  helper", id="space and a comment"),
]


BEHIND_A_BLOCK = [
    pytest.param("s.tenant = i.owner", "s.id = i.owner", id="a rule that the block's rules ask for"),
    pytest.param('"reader" if "owner"; ', "", id="a line less in it"),
    pytest.param(
        "\nallow(",
        '\nhas_role(s: Subject, "reader", i: Image) if i.visibility = "public" and s.id = i.name;\nallow(',
        id="one more rule that they ask for",
    ),
]


def differ(text: str, old: str, new: str) -> bool:
    """Whether the change makes another policy, compiled with what is known of the text as it was."""
    known = Explored()
    before = compile_policy([("p.polar", text)], "r", explored=known)
    return not same(before, agrees([("p.polar", text.replace(old, new, 1))], known))


@pytest.mark.parametrize(("old", "new"), DIFFERENT)
def test_what_differs_is_explored(old: str, new: str) -> None:
    assert differ(BASE, old, new)


@pytest.mark.parametrize(("old", "new"), BEHIND_A_BLOCK)
def test_what_differs_behind_a_block_is_explored(old: str, new: str) -> None:
    assert differ(BLOCK, old, new)


def test_graphs_of_many_names_take_little_room() -> None:
    facts = "".join(f'may("property_{number}", "role_{number}");\n' for number in range(800))
    rule = 'allow(s: Subject, "read", p: Property) if may(p.name, role) and s.has_role(role);'
    tracemalloc.start()
    try:
        known = Explored()
        compile_policy([("p.polar", facts + rule)], "r", explored=known)
        policies_own = tracemalloc.get_traced_memory()[0]
        del known
        gc.collect()
        assert policies_own - tracemalloc.get_traced_memory()[0] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("old", "new"), ALIKE)
def test_what_decides_alike_still_does(old: str, new: str) -> None:
    assert not differ(BASE, old, new)


def test_rules_that_moved_to_another_file_keep_their_graphs() -> None:
    known = Explored()
    compile_policy([("p.polar", BASE)], "r", explored=known)
    first, second, third, fourth = BASE.strip().split("\n")
    moved = [("b.polar", f"{fourth}\n{second}\n"), ("a.polar", f"# first\n{third}\n{first}\n")]
    assert [rule.file for rule in agrees(moved, known).rules] == ["b.polar", "a.polar"]
