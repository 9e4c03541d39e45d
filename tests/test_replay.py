"""`protect replay`: a decision log against another policy, without guessing."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from protect.analysis.outcomes import Outcome
from protect.cli import main
from protect.cli.decision_logs import LONGEST, Raw, lines
from protect.cli.replay import Findings, replayed
from protect.policy import Policy
from protect.replay.deciding import Answer, Replay
from protect.replay.lines import parsed
from protect.service.calls import Call, Limits
from protect.service.recording import Recorder
from protect.settings import DecisionLog
from protect.values import Image, Location, Member, Metadef, Property, Query, Resource, Subject, Task

POLICY = """\
admin(subject) if subject.has_role("admin");
owns(subject, image) if image.owner = subject.tenant;
allow(subject: Subject, "get_image", image: Image) if
    admin(subject) or owns(subject, image) or image.visibility = "public" or image.shared_with(subject);
allow(_subject: Subject, "get_images", _image: Image);
allow(subject: Subject, "download_image", image: Image) if owns(subject, image) and image.get("license") = "free";
allow(subject: Subject, "add_member", member: Member) if owns(subject, member.image) and member.tenant = "friends";
allow(subject: Subject, "update", property: Property) if property.name = "kernel_id" and admin(subject);
allow(subject: Subject, "update", property: Property) if property.name = "note" and owns(subject, property.image);
allow(subject: Subject, "upload", resource: Resource) if resource.type = "backup" and context.get("api") = "v2" and
    subject.authenticated;
discard(_subject: Subject, "update", property: Property) if property.name = "kernel_id";
forbid(subject: Subject, "update", property: Property) if property.name = "owner" and not admin(subject);
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "policy.polar"
    path.write_text(POLICY)
    return Policy.load([str(path)])


def line(action: str, resource: str = "Image", outcome: str = "denied", **more: Any) -> dict[str, Any]:
    return {
        "time": "2026-01-01T00:00:00Z",
        "outcome": outcome,
        "action": action,
        "resource": resource,
        "resource_id": "i",
        "property": None,
        "subject": "u",
        "tenant": "ours",
        "reason": "no rule allows it",
        "revision": "0",
        "mode": "enforce",
        "request_id": None,
        **more,
    }


def user(*roles: str) -> dict[str, Any]:
    return {"roles": list(roles), "service_roles": [], "authenticated": True}


OWN = {"owner": "ours", "visibility": "private"}
FOREIGN = {"owner": "theirs", "visibility": "private"}


@pytest.mark.parametrize(
    ("given", "outcome", "lacking"),
    [
        pytest.param(line("get_images"), Outcome.ALLOWED, (), id="what holds for everybody needs no facts"),
        pytest.param(line("delete_image"), Outcome.DENIED, (), id="and what holds for nobody needs none"),
        pytest.param(
            line("get_image"),
            None,
            ("subject.roles", "image.owner", "image.visibility", "image.members"),
            id="a line without facts says which are wanting",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("admin")}),
            Outcome.ALLOWED,
            (),
            id="an admin is let in whatever the image is",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("member"), "image": OWN, "membership": None}),
            Outcome.ALLOWED,
            (),
            id="an owner is let in",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("member"), "image": FOREIGN, "membership": None}),
            Outcome.DENIED,
            (),
            id="a stranger is not",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("member"), "image": FOREIGN, "membership": "accepted"}),
            Outcome.ALLOWED,
            (),
            id="a member is",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("member"), "image": FOREIGN, "membership": "pending"}),
            Outcome.DENIED,
            (),
            id="a pending one is not, by this policy",
        ),
        pytest.param(
            line("get_image", facts={"subject": user("member"), "image": FOREIGN}),
            None,
            ("image.members",),
            id="membership that is not told is not guessed",
        ),
        pytest.param(
            line("download_image", facts={"image": OWN}),
            None,
            ('image.get("license")',),
            id="values of properties are never told",
        ),
        pytest.param(
            line("download_image", facts={"image": FOREIGN}), Outcome.DENIED, (), id="nor needed for a stranger"
        ),
        pytest.param(
            line("add_member", "Member", facts={"image": OWN, "resource": {"tenant": "friends"}}),
            Outcome.ALLOWED,
            (),
            id="the tenant that an image is shared with",
        ),
        pytest.param(
            line("add_member", "Member", facts={"image": OWN, "resource": {"tenant": "others"}}),
            Outcome.DENIED,
            (),
            id="another one",
        ),
        pytest.param(
            line("update", "Property", property="kernel_id", facts={"subject": user("member")}),
            Outcome.DISCARDED,
            (),
            id="what would be dropped",
        ),
        pytest.param(
            line("update", "Property", property="kernel_id", facts={"subject": user("admin")}),
            Outcome.ALLOWED,
            (),
            id="and is not for an admin",
        ),
        pytest.param(line("update", "Property", property="other"), Outcome.DENIED, (), id="a name without rules"),
        pytest.param(
            line("update", "Property", property="owner", facts={"subject": user("member")}),
            Outcome.DENIED,
            (),
            id="an attribute of the API that is forbidden",
        ),
        pytest.param(
            line("update", "Property", property="owner", facts={"subject": user("admin"), "attribute": True}),
            Outcome.ALLOWED,
            (),
            id="and is not forbidden for an admin",
        ),
        pytest.param(
            line("update", "Property", property="owner", facts={"subject": user("admin")}),
            None,
            ("whether an attribute of the API is meant",),
            id="an attribute or a property: decided differently",
        ),
        pytest.param(
            line("upload", "backup", facts={"subject": user(), "context": {"api": "v2"}}),
            Outcome.ALLOWED,
            (),
            id="any other type, and the circumstances",
        ),
        pytest.param(
            line("upload", "folder", facts={"subject": user(), "context": {"api": "v2"}}),
            Outcome.DENIED,
            (),
            id="another type",
        ),
        pytest.param(
            line("get_image", tenant="t" * 256, facts={"subject": user("member"), "image": OWN, "membership": None}),
            None,
            ("subject.tenant",),
            id="an id that may have been cut is not known",
        ),
        pytest.param(
            line("get_image", tenant="t" * 64, cut=64, facts={"subject": user(), "image": OWN, "membership": None}),
            None,
            ("subject.tenant",),
            id="nor one where the line says that it was cut earlier",
        ),
        pytest.param(
            line("get_image", tenant="t" * 63, cut=64, facts={"subject": user(), "image": OWN, "membership": None}),
            Outcome.DENIED,
            (),
            id="a shorter one is whole",
        ),
        pytest.param(
            line("update", "Property", property="x" * 256),
            None,
            ("the property's name",),
            id="nor a property's name: it may end otherwise",
        ),
        pytest.param(line("x" * 256), None, ("the action's whole name",), id="nor an action's"),
        pytest.param(
            line("get_image", facts={"subject": {"roles": "admin"}, "image": {"owner": 1, "visibility": ["public"]}}),
            None,
            ("subject.roles", "image.owner", "image.visibility"),
            id="what is of another type was not written by us",
        ),
        pytest.param(
            line("upload", "backup", facts={"subject": {"authenticated": None}, "context": {"api": "v2"}}),
            None,
            ("subject.authenticated",),
            id="nothing is neither true nor false",
        ),
        pytest.param(line("get_image", facts="all"), None, ("image.owner",), id="facts that are no object"),
    ],
)
def test_a_line_is_decided_as_far_as_it_tells(
    policy: Policy, given: dict[str, Any], outcome: Outcome | None, lacking: tuple[str, ...]
) -> None:
    answer = Replay(policy).answer(given)

    assert answer.outcome is outcome
    assert set(answer.lacking) >= set(lacking) if outcome is None else not answer.lacking


def test_lines_with_all_facts_are_answered_as_the_policy_answers(policy: Policy) -> None:
    chance = random.Random(7)
    replay = Replay(policy)
    seen: set[Outcome | None] = set()
    for _ in range(3_000):
        roles = chance.choice([[], ["member"], ["admin"]])
        tenant, owner = chance.choice(["a", "b", "friends"]), chance.choice(["a", "b", None])
        visibility, status = (
            chance.choice(["public", "private", "shared"]),
            chance.choice([None, "accepted", "pending"]),
        )
        subject = Subject("u", tenant, roles=frozenset(roles))
        image = Image("i", owner, visibility, members={tenant: status} if status else {})
        kind = chance.choice(["Image", "Property", "Member"])
        action = chance.choice(["get_image", "get_images", "update", "add_member", "read"])
        name = chance.choice(["kernel_id", "note", "x"])
        resource = {"Image": image, "Property": Property(name, image), "Member": Member("friends", image)}[kind]
        decision = policy.decide(Query(subject, action, resource))
        given = line(
            action,
            kind,
            tenant=tenant,
            property=name if kind == "Property" else None,
            facts={
                "subject": user(*roles),
                "image": {"owner": owner, "visibility": visibility},
                "membership": status,
                "resource": {"tenant": "friends"},
                "attribute": False,
            },
        )
        answer = replay.answer(given)
        expected = Outcome.ALLOWED if decision.allowed else Outcome.DISCARDED if decision.discard else Outcome.DENIED
        assert answer.outcome is expected, given
        assert not answer.rule or answer.rule in decision.reason
        # What is left out leads to no other answer, at most to none.
        for part in chance.sample(sorted(given["facts"]), 2):
            del given["facts"][part]
        assert replay.answer(given).outcome in (expected, None)
        seen.add(answer.outcome)
    assert seen == {Outcome.ALLOWED, Outcome.DENIED, Outcome.DISCARDED}


def test_answers_are_not_mixed_up_by_tenants_that_only_look_alike(policy: Policy) -> None:
    replay = Replay(policy)

    def ask(tenant: str, owner: str | None) -> Answer:
        image = {"owner": owner, "visibility": "private"}
        return replay.answer(
            line("get_image", tenant=tenant, facts={"subject": user(), "image": image, "membership": None})
        )

    assert ask("a", "a").outcome is Outcome.ALLOWED
    assert ask("b", "b").outcome is Outcome.ALLOWED
    assert ask("b", "a").outcome is Outcome.DENIED
    assert ask("b", None).outcome is Outcome.DENIED


def test_a_fact_that_is_compared_with_one_that_is_told_apart_keeps_its_value(tmp_path: Path) -> None:
    path = tmp_path / "policy.polar"
    path.write_text(
        'allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant or subject.tenant = "ops";'
    )
    replay = Replay(Policy.load([str(path)]))

    def ask(tenant: str, owner: str) -> Outcome | None:
        return replay.answer(line("get_image", tenant=tenant, facts={"image": {"owner": owner}})).outcome

    assert ask("a", "a") is Outcome.ALLOWED
    assert ask("a", "b") is Outcome.DENIED
    assert ask("ops", "b") is Outcome.ALLOWED


SHIPPED = ["rules", *sorted(map(str, Path("rules/variants").glob("*.polar")))]


@pytest.mark.parametrize("variant", SHIPPED)
def test_shipped_rules_decide_a_logged_line_as_they_decide_the_query(variant: str) -> None:
    chance = random.Random(11)
    policy = Policy.load(list(dict.fromkeys(["rules", variant])))
    replay = Replay(policy)
    memory: list[bytes] = []

    class Memory:
        def write(self, lines: Iterable[bytes]) -> None:
            memory.extend(lines)

    recorder = Recorder(DecisionLog.ALL, Memory(), lambda counts: None, facts=True)
    for _ in range(2_000):
        asked = random_query(chance)
        core = isinstance(asked.resource, Property) and asked.resource.core
        recorder(asked, policy.forbidden(asked) if core else policy.decide(asked), Call({}, Limits()))
    recorder.flush()
    for raw in memory:
        told = parsed(raw)
        assert told is not None
        assert replay.answer(told).outcome == {"discarded": "dropped"}.get(told["outcome"], told["outcome"]), told
    assert len(memory) == 2_000


def random_query(chance: random.Random) -> Query:
    one = chance.choice
    tenants = ["a", "b", "kernel_id", None]
    tenant = one(tenants)
    subject = Subject(
        "u",
        tenant,
        one([None, "d"]),
        roles=frozenset(chance.sample(["member", "reader", "admin", "service", "manager"], 2)),
        service_roles=frozenset(chance.sample(["service", "glance"], chance.randrange(2))),
        authenticated=chance.random() < 0.9,
        admin_project=chance.random() < 0.5,
    )
    image = Image(
        one(["i", None]),
        one(tenants),
        one(["public", "private", "shared", "community", None]),
        one(["active", "queued", None]),
        size=one([None, 0, 600_000_000]),
        protected=chance.random() < 0.5,
        members={tenant: one(["accepted", "pending", "rejected"])} if tenant and chance.random() < 0.5 else {},
    )
    name = one(["kernel_id", "hw_x", "os_distro", "owner", "name", "a", "image_type"])
    resource = one(
        [
            image,
            Property(name, image, "v", core=chance.random() < 0.5),
            Member(one(tenants), image, one([None, "pending"])),
            Location(image, "file:///x", one(["file", "http"])),
            Task("t", "import", one(tenants)),
            Metadef("n", "namespace", "n", one(tenants), one(["public", "private"])),
            Resource("backup", "b"),
        ]
    )
    actions = ("get_image", "download_image", "modify_image", "publicize_image", "add_member", "set_image_location")
    context = {"api": "glance", "store": "s"} if chance.random() < 0.5 else {"api": "glance"}
    return Query(subject, one([*actions, "read", "update", "create", "delete", "made up"]), resource, context)


def test_names_that_clients_make_up_are_remembered_as_one(policy: Policy) -> None:
    replay = Replay(policy)
    for number in range(1000):
        replay.answer(line("update", "Property", property=f"made up {number}"))
        replay.answer(line(f"made up {number}"))
    assert len(replay._matters) == 2


@pytest.mark.parametrize(
    ("raw", "is_one"),
    [
        (json.dumps(line("x")), True),
        ("Jan 1 host glance[1]: " + json.dumps(line("x")), True),
        ("", False),
        ("{", False),
        ("[1]", False),
        ('{"outcome": "denied"}', False),
        ('{"outcome": "denied", "action": 1, "resource": "Image"}', False),
        (json.dumps(line("x", property=["x"])), False),
        (json.dumps(line("x")).replace('"2026', 'NaN, "x": "2026'), False),
        ("host app{pid=1}[{}]: " + json.dumps(line("x")), True),
    ],
)
def test_what_is_a_line(raw: str, is_one: bool) -> None:
    assert (parsed(raw.encode()) is not None) is is_one


def log(tmp_path: Path, *lines: dict[str, Any], name: str = "decisions.log") -> str:
    path = tmp_path / name
    data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def raws(*lines: bytes) -> list[Raw]:
    return [Raw("a.log", number, data, 0) for number, data in enumerate(lines, start=1)]


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "policy.polar"
    path.write_text(POLICY)
    return str(path)


def test_changes_are_told_with_an_example_and_the_rule(
    tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        line("get_images", outcome="allowed"),
        line("get_images", request_id="req-2"),
        line("get_images"),
        line("delete_image", outcome="allowed", subject="\x1b[31mu"),
        line("download_image"),
    ]

    assert main(["replay", log(tmp_path, *lines), rules]) == 1
    said = capsys.readouterr().out
    assert "wider: get_images on Image: denied -> allowed, 2 times\n  first in line 2: subject u" in said
    assert f"request req-2\n  by {rules}:5" in said
    assert "narrower: delete_image on Image: allowed -> denied, once" in said
    assert "\x1b" not in said
    assert "cannot say: download_image on Image, once: the log does not tell " in said
    assert "5 decisions: 1 the same, 3 otherwise, 1 cannot be said" in said


def test_changes_as_json(tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line("get_images"), line("update", "Property", property="x", outcome="allowed")]

    assert main(["replay", "--format", "json", log(tmp_path, *lines, name="a.log.gz"), rules]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["decisions"], told["same"], told["otherwise"], told["cannot_say"]) == (2, 0, 2, 0)
    assert [(one["direction"], one["properties"]) for one in told["changes"]] == [("wider", []), ("narrower", ["x"])]


@pytest.mark.parametrize(
    ("given", "fail_on", "status"),
    [
        ([line("get_images", outcome="allowed")], "any", 0),
        ([line("get_images")], "any", 1),
        ([line("get_images")], "narrower", 0),
        ([line("get_images")], "wider", 1),
        ([line("get_image")], "any", 1),
        ([line("get_image")], "changed", 0),
        ([line("get_images"), line("get_image")], "none", 0),
    ],
)
def test_exit_status(tmp_path: Path, rules: str, given: list[dict[str, Any]], fail_on: str, status: int) -> None:
    assert main(["replay", log(tmp_path, *given), rules, "--fail-on", fail_on]) == status


def test_a_log_of_denials_cannot_show_what_would_be_refused(
    tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["replay", log(tmp_path, line("get_images")), rules])
    assert "no decision that allowed" in capsys.readouterr().err
    main(["replay", log(tmp_path, line("get_images", outcome="allowed")), rules])
    assert "no decision that allowed" not in capsys.readouterr().err


def test_what_is_no_log_is_unusable(tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "some.txt"
    path.write_text("hello\n")

    assert main(["replay", str(path), rules]) == 2
    assert "no line of a decision log" in capsys.readouterr().err


def test_a_line_that_ends_too_early_is_counted_and_left_out(policy: Policy) -> None:
    whole = json.dumps(line("get_images", outcome="allowed")).encode()

    found = replayed(raws(whole, whole[:40]), policy)
    assert (found.lines, found.same, found.unreadable) == (2, 1, 1)


def test_logs_are_read_one_after_the_other_compressed_or_not(
    tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = log(tmp_path, line("get_images", outcome="allowed"), name="decisions.log.1.gz")
    second = log(tmp_path, line("get_images", outcome="allowed"), line("get_images"), name="decisions.log")

    assert main(["replay", f"{first},{second}", rules]) == 1
    said = capsys.readouterr().out
    assert f"first in line 2 of {second}: subject u" in said
    assert "3 decisions: 2 the same, 1 otherwise" in said


def test_a_compressed_log_is_known_by_what_is_in_it(tmp_path: Path, rules: str) -> None:
    path = Path(log(tmp_path, line("get_images", outcome="allowed"), name="a.gz"))
    assert main(["replay", str(path.rename(tmp_path / "a.log")), rules]) == 0


@pytest.mark.parametrize("damage", ["cut", "garbled"])
def test_a_damaged_log_is_unusable(damage: str, tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(log(tmp_path, *[line("get_images", subject=f"u{number}") for number in range(500)], name="a.gz"))
    data = path.read_bytes()
    path.write_bytes(data[:-500] if damage == "cut" else data[:200] + bytes(range(256)) + data[456:])

    assert main(["replay", str(path), rules]) == 2
    assert "is damaged, or ends too early" in capsys.readouterr().err


def test_a_line_without_an_end_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"a\n" + b"x" * (3 * LONGEST + 7) + b"\nb\n" + b"y" * LONGEST)

    assert [(raw.number, raw.data) for raw in lines([str(path)])] == [(1, b"a\n"), (2, None), (3, b"b\n"), (4, None)]


def test_a_log_without_facts_says_how_to_have_them(
    tmp_path: Path, rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["replay", log(tmp_path, line("get_image")), rules])
    assert "decision_log_facts = yes" in capsys.readouterr().err
    main(["replay", log(tmp_path, line("get_image", facts={"image": OWN})), rules])
    assert "decision_log_facts = yes" not in capsys.readouterr().err


def test_kinds_of_changes_that_clients_make_up_are_told_together() -> None:
    found = Findings()
    for number in range(20_000):
        found.add(Raw("a.log", number, None, 0), line(f"made up {number}"), Answer(Outcome.ALLOWED))
        found.add(Raw("a.log", number, None, 0), line(f"made up {number}"), Answer(None, ("image.owner",)))
    assert (len(found.changes), len(found.unsaid)) == (10_001, 10_001)
    assert sum(change.count for change in found.changes.values()) == sum(found.unsaid.values()) == 20_000


@pytest.mark.parametrize("limit", ["-1", "x", "1.5", ""])
def test_a_limit_is_a_whole_number(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "a.log", f"--limit={limit}"])
    assert "accepted: a whole number" in capsys.readouterr().err
