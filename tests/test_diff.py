"""Two policies compared: every difference is found, each with an example that both have decided."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protect.analysis import Direction, Outcome, Topic, compare, topics
from protect.analysis import holds as all_hold
from protect.analysis.walking import OUT_OF_TIME
from protect.cli import main
from protect.cli.diff import failed
from protect.policy import Policy
from protect.policy.saved import save
from protect.values import Decision, Image, Property, Query, Subject
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


NOBODY = 'allow(_s: Subject, "get_image", _i: Image);\n'
TIER = (
    'allow(s: Subject, "read", p: Property) if p.image.get("tier") in [{}] and s.get("a") = 1 and s.get("b") = 2 and '
    'not p.image.get("tier") = s.get("a") and not p.image.get("tier") = s.get("b");'
)
CYRILLIC = 'allow(_s: Subject, "read", p: Property) if p.name in ["Ѐ", "Ё"];\n'


@pytest.mark.parametrize(
    ("old", "new", "wider"),
    [
        pytest.param("", TIER.format('"1", "2"'), True, id="the texts 1 and 2 are not the numbers"),
        pytest.param("", TIER.format("1, 2"), False, id="the numbers 1 and 2 are"),
        pytest.param(
            "",
            'allow(_s: Subject, "read", p: Property) if p.matches("^5$") and p.image.get("n") = 5 '
            'and not p.image.get("n") = p.name;',
            True,
            id="a name like the number 5",
        ),
        pytest.param(
            "",
            'allow(_s: Subject, "read", p: Property) if p.matches("^5$") and p.image.get("n") = "5" '
            'and not p.image.get("n") = p.name;',
            False,
            id="a name like the text 5",
        ),
        pytest.param(CYRILLIC, 'allow(_s: Subject, "read", p: Property) if p.matches("^[Ѐ-Ђ]$");', True, id="a third"),
        pytest.param(
            CYRILLIC, 'allow(_s: Subject, "read", p: Property) if p.matches("^[Ѐ-Ё]$");', False, id="no third"
        ),
    ],
)
def test_nothing_is_said_to_be_alike_that_is_not(old: str, new: str, wider: bool) -> None:
    comparison = compare(compiled(NOBODY + old, None), compiled(NOBODY + old + new, None))
    assert not comparison.unproven
    assert comparison.directions() == ({Direction.WIDER} if wider else set())


# --- protection files ---


def sections(patterns: list[str], role: str = "role{}") -> str:
    line = "[{}]\ncreate = {}\nread = member,reader\nupdate = admin\ndelete = admin\n"
    return "".join(line.format(pattern, role.format(index)) for index, pattern in enumerate(patterns))


def protections(tmp_path: Path, *texts: str) -> list[Policy]:
    loaded = []
    for index, text in enumerate(texts):
        path = tmp_path / f"{index}.conf"
        path.write_text(text, encoding="utf-8")
        loaded.append(Policy.load([str(path)]))
    return loaded


PATTERNS = [
    "^a_.*",
    "_b$",
    "^A_[0-9]+$",
    "hw",
    "^(?i)x",
    "(?i)^y_k",
    "^a_k",
    "k{2}",
    "^.x$",
    "^q\\d$",
    "^é[ä-ö]$",
    "^[^a]",
]


def test_chains_of_patterns_differ_where_names_say_so(tmp_path: Path) -> None:
    chance = random.Random(5)
    names = ["a_", "a_k", "A_1", "x_b", "hw_b", "y_k", "Y_K", "kk", "ax", "éö", "éä", "q1", "q\u0661", "z", "x", "a_b"]
    found = 0
    for _ in range(15 if EXAMPLES < 1000 else 600):
        patterns = [one for one in chance.sample(PATTERNS, chance.randint(2, 7)) if one != "^(?i)x"]
        other = chance.sample(patterns, len(patterns)) if chance.random() < 0.5 else patterns[:-1]
        old, new = protections(tmp_path, sections(patterns), sections(other, chance.choice(["role{}", "role1"])))
        comparison = compare(old, new)
        asked = [
            Query(Subject(roles=frozenset((f"role{role}", "member"))), action, Property(name, Image()))
            for name in names
            for role in range(7)
            for action in ("create", "read", "update")
        ]
        agrees(old, new, asked, "Property")
        found += len(comparison.differences)
        assert not comparison.unproven
    assert found > 10


def test_two_hundred_sections_are_compared_in_time(tmp_path: Path) -> None:
    old, new = protections(
        tmp_path,
        sections([f"^p{number}_.*" for number in range(200)]),
        sections([f"^p{number}_[a-z]+$" for number in range(200)], "other{}"),
    )
    began = time.process_time()
    comparison = compare(old, new)
    assert time.process_time() - began < 10
    assert not comparison.unproven
    assert comparison.directions() == set(Direction)


def test_what_takes_too_long_is_not_proven(tmp_path: Path) -> None:
    old, new = protections(tmp_path, sections(["^a"]), sections(["^b"]))
    assert not compare(old, new, seconds=60).unproven
    told: list[tuple[int, int]] = []
    comparison = compare(old, new, seconds=0, progress=lambda *numbers: told.append(numbers))
    assert {why for _, why in comparison.unproven} == {OUT_OF_TIME}
    assert failed(comparison, "wider")
    assert [done for done, _ in told] == list(range(comparison.compared))


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
        pytest.param(["git:HEAD:rules", "rules", "--action", "get_image"], 0, "no difference in", id="another action"),
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
        pytest.param("git:HEAD:/rules", "cannot be understood", id="a path from the root of the machine"),
        pytest.param("git:HEAD:../..", "leads out of the repository", id="a path beyond the repository"),
        pytest.param("", "an empty path", id="nothing"),
        pytest.param(",rules", "an empty path in `,rules`", id="nothing before a comma"),
    ],
)
def test_what_cannot_be_read_is_said(
    repository: Path, capsys: pytest.CaptureFixture[str], path: str, shown: str
) -> None:
    assert main(["diff", path, "rules"]) == 2
    assert shown in capsys.readouterr().err


@pytest.fixture
def linked(repository: Path) -> Path:
    """A repository with links: `links/b.polar` within it, `far/b.polar` and `away/b.polar` out of it."""
    for folder in ("links", "far", "away", "deep"):
        (repository / folder).mkdir()
        (repository / folder / "a.polar").write_text(ALLOW.format("member", "i.owner = s.tenant"), encoding="utf-8")
    (repository / "deep" / "real.polar").write_text('forbid(_s: Subject, "download_image", i: Image) if i.protected;')
    (repository / "links" / "b.polar").symlink_to("../deep/real.polar")
    (repository / "far" / "b.polar").symlink_to("/etc/hostname")
    (repository / "away" / "b.polar").symlink_to("../../b.polar")
    (repository / "same").symlink_to("deep")
    for arguments in (["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "links"]):
        subprocess.run(["git", *arguments], check=True, cwd=repository)
    return repository


@pytest.mark.parametrize(
    ("folder", "path", "against", "status"),
    [
        pytest.param("rules", "git:HEAD~1:.", ".", 1, id="the folder one is in, changed"),
        pytest.param("rules", "git:HEAD:.", ".", 0, id="the folder one is in, unchanged"),
        pytest.param("rules", "git:HEAD:../links", "../links", 0, id="the folder beside it"),
        pytest.param("rules", "git:HEAD:../links", "../links/a.polar", 1, id="and not its first file alone"),
        pytest.param("rules", "git:HEAD:../links/../deep/", "../links", 0, id="up and down again"),
        pytest.param(".", "git:HEAD:same", "deep", 0, id="a folder that is a link"),
        pytest.param(".", "git:HEAD:links", "deep/a.polar", 1, id="what a link leads to is not left out"),
        pytest.param(".", "git:HEAD:far", "deep", 2, id="a link to somewhere on this machine"),
        pytest.param(".", "git:HEAD:away", "deep", 2, id="a link that leads out of the repository"),
    ],
)
def test_a_revision_is_all_of_its_files(
    linked: Path, monkeypatch: pytest.MonkeyPatch, folder: str, path: str, against: str, status: int
) -> None:
    monkeypatch.chdir(linked / folder)
    assert main(["diff", path, against]) == status


@pytest.mark.parametrize(
    ("action", "status"),
    [
        pytest.param("get_image", 0, id="an action of the API"),
        pytest.param("get_imag", 2, id="misspelt"),
        pytest.param("our_own", 2, id="nobody's"),
        pytest.param("read", 0, id="of properties"),
    ],
)
def test_an_action_that_nobody_knows_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str], action: str, status: int
) -> None:
    assert main(["diff", "git:HEAD:rules", "rules", "--action", action]) == status
    shown = capsys.readouterr()
    assert "no difference in what was compared" in shown.out or "know" in shown.err
    assert ("did you mean `get_image`?" in shown.err) is (action == "get_imag")


def test_actions_that_one_policy_leaves_to_the_api_are_not_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "p.conf"
    conf.write_text(sections(["^a"]), encoding="utf-8")
    assert main(["diff", str(conf), str(ROOT / "rules"), "--action", "download_image"]) == 2
    assert "nothing was compared" in capsys.readouterr().err
    assert main(["diff", str(conf), str(ROOT / "rules"), "--action", "download_image", "--all"]) == 1


RULE = "[.*]\ncreate = {0}\nread = {0}\nupdate = {0}\ndelete = {0}\n"


@pytest.mark.parametrize(
    ("names", "texts", "options", "status"),
    [
        pytest.param(("a.conf", "b.conf"), ("admin", "admin"), [], 0, id="roles"),
        pytest.param(("a.conf", "b-policies.conf"), ("admin", "context_is_admin"), [], 0, id="rules, by the name"),
        pytest.param(("a.conf", "b.conf"), ("admin", "context_is_admin"), [], 1, id="a role with the name of a rule"),
        pytest.param(
            ("a.conf", "b.conf"), ("admin", "context_is_admin"), ["--new-format", "policies"], 0, id="rules, as said"
        ),
        pytest.param(
            ("a.conf", "b.conf"),
            ("context_is_admin", "admin"),
            ["--old-format", "policies", "--protection-format", "roles"],
            0,
            id="the old one's, as said",
        ),
        pytest.param(
            ("a.conf", "b-policies.conf"), ("admin", "context_is_admin"), ["--new-format", "roles"], 1, id="not"
        ),
    ],
)
def test_each_protection_file_has_its_format(
    tmp_path: Path, names: tuple[str, str], texts: tuple[str, str], options: list[str], status: int
) -> None:
    paths = [tmp_path / name for name in names]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(RULE.format(text), encoding="utf-8")
    assert main(["diff", *map(str, paths), *options]) == status


def test_protection_files_of_two_formats_are_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.conf", "b-policies.conf"):
        (tmp_path / name).write_text(RULE.format("admin"), encoding="utf-8")
    both = ",".join(str(tmp_path / name) for name in ("a.conf", "b-policies.conf"))
    assert main(["diff", both, both]) == 2
    assert "--protection-format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "said"),
    [
        pytest.param(3, "a1, a2 or a3 an image", id="three"),
        pytest.param(4, "a1, a2, a3 or a4 an image", id="four, not three and one other"),
        pytest.param(5, "a1, a2, a3 or 2 others on an image", id="five"),
    ],
)
def test_few_actions_are_all_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, count: int, said: str) -> None:
    actions = [f"a{number}" for number in range(1, count + 1)]
    listed = ", ".join(f'"{action}"' for action in actions)
    for name, condition in (("old", "i.protected"), ("new", "s = s")):
        rule = f"allow(s: Subject, action, i: Image) if action in [{listed}] and {condition} and s = s and i = i;"
        (tmp_path / f"{name}.polar").write_text(rule, encoding="utf-8")
    assert main(["diff", str(tmp_path / "old.polar"), str(tmp_path / "new.polar")]) == 1
    assert said in capsys.readouterr().out


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
