"""Two policies compared: every difference is found, each with an example that both have decided."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protect.analysis import Direction, Outcome, Topic, compare, topics
from protect.analysis import holds as all_hold
from protect.cli import main
from protect.cli.diff import failed
from protect.policy import Policy
from protect.policy.saved import save
from protect.values import Decision, Image, Query, Subject
from tests.test_graph_agrees_with_oso import compiled, policies, queries

ROOT = Path(__file__).parent.parent
EXAMPLES = 2_000 if os.environ.get("PROTECT_EXHAUSTIVE") else 40
ORDER = (Outcome.DENIED, Outcome.DISCARDED, Outcome.ALLOWED)


def outcome(decision: Decision) -> int:
    return ORDER.index(
        Outcome.DISCARDED if decision.discard else Outcome.ALLOWED if decision.allowed else Outcome.DENIED
    )


def topic_of(query: Query, of: list[Topic]) -> Topic:
    fit = [one for one in of if not one.attribute and one.action in (query.action, None) and all_hold(query, one.given)]
    [found] = [one for one in fit if one.action is not None] or fit
    return found


def agrees(old: Policy, new: Policy, asked: list[Query], kind: str, most: int = 20_000) -> None:
    """Every difference found is one, and every one that queries show is found."""
    comparison = compare(old, new, most=most)
    for one in comparison.differences:
        for query in (one.query, one.core):
            before, after = (one.topic.decide(policy, query) for policy in (old, new))
            assert (outcome(after) > outcome(before)) is (one.direction is Direction.WIDER)
            assert outcome(before) != outcome(after)
        assert one.sentence()
    found = {(one.topic, one.direction) for one in comparison.differences}
    unproven = {topic for topic, _ in comparison.unproven}
    known = topics(old, new, kinds=[kind])
    for query in asked:
        before, after = outcome(old.decide(query)), outcome(new.decide(query))
        if before != after:
            topic = topic_of(query, known)
            direction = Direction.WIDER if after > before else Direction.NARROWER
            assert (topic, direction) in found or topic in unproven, (query, direction)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_comparison_finds_every_difference(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(("Image", "Property", "Member", "Location", "Resource")))
    texts = [data.draw(policies(kind)) for _ in range(2)]
    if data.draw(st.booleans()):
        # One rule more, or the same rules in another order: what a change of policy looks like.
        texts[1] = "\n".join(data.draw(st.permutations(texts[0].split("\n"))))
    old, new = (compiled(text, None) for text in texts)
    agrees(old, new, data.draw(st.lists(queries(kind), min_size=6, max_size=16)), kind)


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_policy_that_grows_is_compared_as_well(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(("Image", "Property")))
    old = compiled(data.draw(policies(kind)), data.draw(st.sampled_from((0, 20))))
    new = compiled(data.draw(policies(kind)), None)
    agrees(old, new, data.draw(st.lists(queries(kind), min_size=4, max_size=8)), kind)


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_policy_is_like_itself(data: st.DataObject) -> None:
    text = data.draw(policies(data.draw(st.sampled_from(("Image", "Property", "Task")))))
    comparison = compare(compiled(text, None), compiled(text, None))
    assert comparison.differences == []
    assert comparison.unproven == []


ALLOW = 'allow(s: Subject, "download_image", i: Image) if s.has_role("{}") and {};'


@pytest.mark.parametrize(
    ("old", "new", "directions", "said"),
    [
        pytest.param(
            ALLOW.format("reader", "i.owner = s.tenant"),
            ALLOW.format("reader", 'i.visibility = "shared"'),
            {Direction.WIDER, Direction.NARROWER},
            'a subject with role "reader" may now download_image an image with visibility "shared" that is not its own',
            id="shared instead of own",
        ),
        pytest.param(
            ALLOW.format("reader", 'i.visibility = "public"'),
            ALLOW.format("READER", 'i.visibility in ["public"]'),
            set(),
            "",
            id="the same in other words",
        ),
        pytest.param(
            ALLOW.format("member", 'i.visibility = "public"'),
            ALLOW.format("member", 'i.visibility in ["public", "community"]'),
            {Direction.WIDER},
            'a subject with role "member" may now download_image an image with visibility "community"',
            id="one more visibility",
        ),
        pytest.param(
            ALLOW.format("member", "i.owner = s.tenant"),
            ALLOW.format("member", "i.owner = s.tenant and i.size < 5"),
            {Direction.NARROWER},
            'a subject with role "member" may no longer download_image an image that is its own',
            id="one more condition",
        ),
        pytest.param(
            ALLOW.format("member", "i.shared_with(s)"),
            ALLOW.format("member", 'i.shared_with(s) and i.visibility = "shared"'),
            {Direction.NARROWER},
            "only shared images have members",
            id="a difference that the API never shows is marked",
        ),
    ],
)
def test_the_sentence_says_what_matters(old: str, new: str, directions: set[Direction], said: str) -> None:
    comparison = compare(compiled(old, None), compiled(new, None))
    assert comparison.directions() == directions
    assert not comparison.unproven
    if said:
        assert any(said in one.sentence() for one in comparison.differences), [
            one.sentence() for one in comparison.differences
        ]


def test_a_class_of_names_is_one_difference() -> None:
    rule = 'forbid(s: Subject, "update", p: Property) if {} and not s.has_role("admin");\n'
    base = 'allow(s: Subject, "update", _p: Property) if s = s;\n'
    old = compiled(base + rule.format('p.matches("^hw_")'), None)
    new = compiled(base + rule.format('p.matches("^hw")'), None)
    [one] = [one for one in compare(old, new).differences if not one.topic.attribute]
    assert one.direction is Direction.NARROWER
    name = one.query.resource.name  # type: ignore[union-attr]
    assert name.startswith("hw") and not name.startswith("hw_")


def test_an_attribute_that_is_locked_is_a_difference_though_nobody_was_allowed_to() -> None:
    base = 'allow(s: Subject, "read", _p: Property) if s.has_role("a");\n'
    old = compiled(base, None)
    new = compiled(base + 'forbid(s: Subject, "update", p: Property) if p.name = "owner" and s = s;', None)
    [one] = compare(old, new).differences
    assert (one.topic.attribute, one.direction, one.query.resource.name) == (True, Direction.NARROWER, "owner")  # type: ignore[union-attr]


def test_protections_are_compared_by_properties_but_for_all(tmp_path: Path) -> None:
    conf = tmp_path / "p.conf"
    conf.write_text("[.*]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n", encoding="utf-8")
    old, new = Policy.load([str(conf)]), Policy.load(["rules"])
    comparison = compare(old, new)
    assert comparison.properties_only
    assert {one.topic.kind for one in comparison.differences} == {"Property"}
    assert {one.topic.kind for one in compare(old, new, everything=True).differences} > {"Property", "Image"}


def test_a_bound_leaves_something_unproven_and_that_counts() -> None:
    old, new = Policy.load(["rules"]), Policy.load(["rules", "rules/variants/tenant_admin.polar"])
    comparison = compare(old, new, most=1)
    assert comparison.unproven
    assert failed(comparison, "wider")
    assert not failed(comparison, "none")


def test_many_rules_are_compared_in_time() -> None:
    rules = [f'allow(s: Subject, "a", i: Image) if s.has_role("r{n}") and i.owner = "o{n}";' for n in range(12)]
    old, new = compiled("\n".join(rules), None), compiled("\n".join(reversed(rules)), None)
    comparison = compare(old, new)
    assert comparison.differences == []


# --- the command ---


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "rules").mkdir()
    monkeypatch.chdir(tmp_path)
    policy = tmp_path / "rules" / "a.polar"
    policy.write_text(ALLOW.format("member", 'i.visibility = "public"'), encoding="utf-8")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *arguments], check=True, cwd=tmp_path)
    policy.write_text(ALLOW.format("member", 'i.visibility in ["public", "community"]'), encoding="utf-8")
    yield tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "shown"),
    [
        pytest.param(
            ["git:HEAD:rules", "rules"], 1, "wider: download_image on Image", id="a revision against the files"
        ),
        pytest.param(["git:HEAD:rules/a.polar", "rules/a.polar"], 1, "git:HEAD:rules/a.polar", id="a file of it"),
        pytest.param(["rules", "rules"], 0, "no difference", id="the files against themselves"),
        pytest.param(["git:HEAD:rules", "rules", "--fail-on", "narrower"], 0, "1 wider", id="wider does not fail"),
        pytest.param(["git:HEAD:rules", "rules", "--fail-on", "wider"], 1, "1 wider", id="wider fails"),
        pytest.param(["git:HEAD:rules", "rules", "--action", "get_image"], 0, "no difference", id="another action"),
        pytest.param(["git:HEAD:rules", "rules", "--action", "download_image"], 1, "wider", id="that action"),
    ],
)
def test_the_command_compares(
    repository: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, shown: str
) -> None:
    assert main(["diff", *arguments]) == status
    printed = capsys.readouterr().out
    assert shown in printed or "git:" in shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        pytest.param("nowhere", "does not exist", id="a path that is not there"),
        pytest.param("git:HEAD:nowhere", "does not exist", id="a path that the revision does not have"),
        pytest.param("git:nowhere:rules", "cannot be read", id="a revision that is not there"),
        pytest.param("git:--help:rules", "cannot be understood", id="an option in place of a revision"),
        pytest.param("git:HEAD", "cannot be understood", id="no path"),
    ],
)
def test_what_cannot_be_read_is_said(
    repository: Path, capsys: pytest.CaptureFixture[str], path: str, shown: str
) -> None:
    assert main(["diff", path, "rules"]) == 2
    assert shown in capsys.readouterr().err


def test_json_says_it_all(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "git:HEAD:rules", "rules", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    [one] = document["differences"]
    assert (one["direction"], one["action"], one["before"], one["after"]) == (
        "wider",
        "download_image",
        "denied",
        "allowed",
    )
    assert one["example"]["resource"]["visibility"] == "community"
    assert document["same"] is False


def test_markdown_shows_hostile_text_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = "<img src=x onerror=alert(1)>|`**"
    Path("a.polar").write_text(ALLOW.format("member", "i.protected"), encoding="utf-8")
    Path("b.polar").write_text(ALLOW.format("member", f'i.name = "{hostile}"'), encoding="utf-8")
    assert main(["diff", "a.polar", "b.polar", "--format", "markdown"]) == 1
    shown = capsys.readouterr().out
    assert "<img" not in shown
    assert all(row.replace("\\|", "").count("|") == 5 for row in shown.splitlines() if row.startswith("|"))


def test_text_for_a_terminal_has_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Polar refuses them; a saved policy can have them.
    old = save(compiled(ALLOW.format("member", "i.protected"), None))
    new = old.replace(b'"download_image"', b'"down\\u001b[31mload"')
    for name, data in (("old.json", old), ("new.json", new)):
        (tmp_path / name).write_bytes(data)
    assert main(["diff", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 1
    printed = capsys.readouterr().out
    assert "x1b[31m" in printed
    assert "\x1b" not in printed


def test_a_saved_policy_is_the_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "policy.json"
    assert main(["compile", str(ROOT / "rules"), "-o", str(saved)]) == 0
    assert main(["diff", str(ROOT / "rules"), str(saved)]) == 0
    assert "no difference" in capsys.readouterr().out


def test_a_query_that_both_decide_alike_is_no_difference() -> None:
    old, new = Policy.load(["rules"]), Policy.load(["rules", "rules/variants/download_role.polar"])
    image = Image(owner="red", visibility="private")
    member, downloader = (
        Subject(tenant="red", roles=frozenset(roles)) for roles in ({"member"}, {"member", "image_downloader"})
    )
    assert old.decide(Query(member, "download_image", image)).allowed
    assert not new.decide(Query(member, "download_image", image)).allowed
    assert new.decide(Query(downloader, "download_image", image)).allowed
    assert {one.direction for one in compare(old, new).differences} == {Direction.NARROWER}
