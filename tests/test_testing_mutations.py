"""Small changes of a policy: that each is what it says, that tests notice them, and that equal ones do not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from protect import loading
from protect.analysis.compare import compare
from protect.errors import PolicyError
from protect.locate import shipped_rules
from protect.policy.policy import Policy
from protect.policy.saved import save
from protect.testing.mutations import Mutations, Reach, sampled
from protect.testing.policies import Policies, load_tested
from protect.testing.reading import read
from protect.testing.running import prepared, run
from protect.testing.scoring import Score, score

POLICY = """\
owns(subject, image) if image.owner = subject.tenant;
magic("kernel_id");
allow(subject: Subject, action, image: Image) if
    action in ["get_image", "modify_image"] and
    (owns(subject, image) or subject.has_role("admin"));
allow(subject: Subject, "download_image", image: Image) if
    owns(subject, image) and image.size < 10 and not image.protected;
allow(subject: Subject, action, property: Property) if
    action in ["read", "update"] and owns(subject, property.image) and not magic(property.name);
forbid(subject: Subject, "update", property: Property) if
    property.matches("^hw_") and not subject.has_service_role("service");
"""


def sources_of(tmp_path: Path, policy: str, name: str = "p.polar") -> loading.Sources:
    path = tmp_path / name
    path.write_text(policy, encoding="utf-8")
    return loading.read([str(path)])


def told(sources: loading.Sources) -> list[str]:
    return [f"{one.line}: {one.change}: {one.before} -> {one.after}" for one in Mutations(sources).all()]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            'allow(_s: Subject, "x", _i: Image);',
            ['1: the rule is taken out: allow(_s: Subject, "x", _i: Image); -> '],
            id="a rule without conditions",
        ),
        pytest.param(
            'allow(s: Subject, "x", i: Image) if s.has_role("a") and not i.owner = s.tenant;',
            [
                '1: the rule is taken out: allow(s: Subject, "x", i: Image) if s.has_role("a") and not i.owner =… -> ',
                '1: the condition is taken out: s.has_role("a") -> 1 = 1',
                '1: the condition is turned round: s.has_role("a") -> not (s.has_role("a"))',
                '1: another role: "a" -> "another_role"',
                "1: the condition is taken out: not i.owner = s.tenant -> 1 = 1",
                "1: the condition is turned round: not i.owner = s.tenant -> i.owner = s.tenant",
                "1: the condition is turned round: i.owner = s.tenant -> not (i.owner = s.tenant)",
            ],
            id="conditions joined by and",
        ),
        pytest.param(
            'allow(_s: Subject, "x", i: Image) if i.size >= 3 or i.status in ["a", "b"];',
            [
                '1: the rule is taken out: allow(_s: Subject, "x", i: Image) if i.size >= 3 or i.status in ["a",… -> ',
                "1: the alternative is taken out: i.size >= 3 -> 1 = 2",
                "1: the condition is turned round: i.size >= 3 -> not (i.size >= 3)",
                "1: the boundary is moved: i.size >= 3 -> i.size > 3",
                '1: the alternative is taken out: i.status in ["a", "b"] -> 1 = 2',
                '1: the condition is turned round: i.status in ["a", "b"] -> not (i.status in ["a", "b"])',
                '1: "a" is taken out of the list: ["a", "b"] -> ',
                '1: "b" is taken out of the list: ["a", "b"] -> ',
            ],
            id="conditions joined by or",
        ),
        pytest.param(
            'forbid(_s: Subject, "x", p: Property) if p.matches("^a\\\\.b$");',
            [
                '1: the rule is taken out: forbid(_s: Subject, "x", p: Property) if p.matches("^a\\\\.b$"); -> ',
                '1: the condition is taken out: p.matches("^a\\\\.b$") -> 1 = 1',
                '1: the condition is turned round: p.matches("^a\\\\.b$") -> not (p.matches("^a\\\\.b$"))',
                '1: the pattern is no longer tied to the start: "^a\\\\.b$" -> "a\\\\.b$"',
                '1: the pattern is no longer tied to the end: "^a\\\\.b$" -> "^a\\\\.b"',
            ],
            id="a pattern",
        ),
    ],
)
def test_the_changes_of_a_rule(tmp_path: Path, rule: str, expected: list[str]) -> None:
    assert told(sources_of(tmp_path, rule)) == expected


def test_the_changes_of_a_protection_file(tmp_path: Path) -> None:
    sources = sources_of(tmp_path, "[^a$]\ncreate = x\nread = @\nupdate = !\ndelete = x,\n  y\n[b]\n", "p.conf")
    assert told(sources) == [
        "1: the section is taken out: [^a$] -> ",
        "2: nobody may: create = x -> create = !",
        "2: everybody may: create = x -> create = @",
        "3: nobody may: read = @ -> read = !",
        "4: everybody may: update = ! -> update = @",
        "5: nobody may: delete = x, y -> delete = !",
        "5: everybody may: delete = x, y -> delete = @",
        "7: the section is taken out: [b] -> ",
    ]


def _compiled(sources: loading.Sources) -> Policy | None:
    try:
        return loading.compile_sources(sources)
    except PolicyError:
        return None


def _agrees(sources: loading.Sources, number: int) -> int:
    """Check that what is compiled of a change decides as all of it does; return for how many changes."""
    mutations = Mutations(sources)
    checked = 0
    for mutant in sampled(mutations.all(), number):
        part = _compiled(mutations.made(mutant))
        whole = _compiled(mutations.made(replace(mutant, reach=(Reach(),))))
        assert (part is None) is (whole is None), mutant
        if part is None or whole is None:
            continue
        before = loading.compile_sources(sources)
        within = compare(
            part, whole, everything=True, only=lambda topic, one=mutant: one.reaches(topic.kind, topic.action)
        )
        beyond = compare(
            before, whole, everything=True, only=lambda topic, one=mutant: not one.reaches(topic.kind, topic.action)
        )
        assert not within.differences and not within.unproven, mutant
        assert not beyond.differences and not beyond.unproven, mutant
        checked += 1
    return checked


def test_within_its_reach_a_change_is_compiled_as_in_the_whole_policy_and_beyond_nothing_changes(
    tmp_path: Path,
) -> None:
    assert _agrees(sources_of(tmp_path, POLICY), 1000) > 30


def test_the_same_of_the_shipped_rules() -> None:
    assert _agrees(loading.read([str(shipped_rules())]), 7) > 4


TESTS = """\
policy: p.polar
subjects:
  alice: {tenant: acme}
  bob: {tenant: other}
  root: {roles: [admin]}
  compute: {tenant: acme, service_roles: [service]}
images:
  own: {owner: acme, size: 5, properties: {kernel_id: x, hw_x: y}}
  nine: {owner: acme, size: 9}
  ten: {owner: acme, size: 10}
  locked: {owner: acme, size: 5, protected: true}
tests:
  - name: images
    table: |
      subject  action          own    nine   ten    locked
      alice    get_image       allow  allow  allow  allow
      bob      get_image       -      -      -      -
      root     get_image       allow  allow  allow  allow
      alice    modify_image    allow  allow  allow  allow
      bob      modify_image    -      -      -      -
      root     modify_image    allow  allow  allow  allow
      alice    download_image  allow  allow  -      -
      bob      download_image  -      -      -      -
  - name: properties
    images: own
    properties: |
      subject  property   C R U D
      alice    note       - r u -
      bob      note       - - - -
      alice    kernel_id  - - - -
      alice    hw_x       - r - -
      compute  hw_x       - r u -
      alice    x_hw_      - r u -
invariants:
  - {name: nothing else, never: any other}
  - {name: nothing else of properties, type: Property, never: [create, delete]}
"""


def scored(tmp_path: Path, tests: str, policy: str = POLICY, number: int | None = None) -> Score:
    (tmp_path / "p.polar").write_text(policy, encoding="utf-8")
    file = str(tmp_path / "p_test.yaml")
    suite = read(tests, file)
    loaded = Policies().load(suite.policy, file)
    return score(loaded, [run(prepared(suite, loaded), loaded)], number, clock=lambda: 0.0)


def test_good_tests_notice_every_change_that_matters(tmp_path: Path) -> None:
    found = scored(tmp_path, TESTS)
    assert [(one.mutant.line, one.mutant.change, one.mutant.before) for one in found.survivors] == []
    assert found.percent == 100
    assert found.killed + found.equal + found.broken == found.tried == found.possible


@pytest.mark.parametrize(
    ("without", "line", "change", "example"),
    [
        pytest.param(
            "      alice    kernel_id  - - - -\n",
            2,
            "the rule is taken out",
            'may now read the property "kernel_id" of an image that is its own',
            id="the fact of a magic property",
        ),
        pytest.param(
            "      compute  hw_x       - r u -\n",
            11,
            "the condition is taken out",
            'through a service with role "service" may no longer update',
            id="the exception of a forbid rule",
        ),
        pytest.param("  nine: {owner: acme, size: 9}\n", 7, "", "", id="no image at the boundary that matters"),
        pytest.param(
            "  ten: {owner: acme, size: 10}\n",
            7,
            "the boundary is moved",
            "may now download_image an image with size 10",
            id="no image at the boundary",
        ),
    ],
)
def test_a_gap_in_the_tests_is_shown_with_what_would_close_it(
    tmp_path: Path, without: str, line: int, change: str, example: str
) -> None:
    tests = TESTS.replace(without, "")
    name = without.strip().partition(":")[0]
    if ":" in without:
        column = TESTS.splitlines()[14].split().index(name)
        rows = [text.split() for text in tests.splitlines()[12:23] if text.startswith("      ")]
        table = "\n".join("      " + "  ".join(row[:column] + row[column + 1 :]) for row in rows)
        head, _, rest = tests.partition("    table: |\n")
        tests = f"{head}    table: |\n{table}\n{rest[rest.index('  - name: properties') :]}"
    found = scored(tmp_path, tests)
    told = [
        (one.mutant.line, one.mutant.change, one.difference.sentence() if one.difference else "")
        for one in found.survivors
    ]
    if not change:
        assert told == []
        return
    assert any(one[:2] == (line, change) and example in one[2] for one in told), told


def test_invariants_notice_changes_too(tmp_path: Path) -> None:
    world = "policy: p.polar\ninvariants:\n"
    without = scored(tmp_path, world + "  - {name: a, never: publicize_image}\n")
    never = '  - {name: a, never: download_image, when: "not image.owner = subject.tenant"}\n'
    implied = scored(tmp_path, world + "  - {name: a, allowed: download_image, implies: get_image}\n")
    assert without.killed < scored(tmp_path, world + never).killed
    assert without.killed < implied.killed


def test_a_change_that_alters_no_decision_does_not_count(tmp_path: Path) -> None:
    twice = 'allow(s: Subject, "get_image", _i: Image) if s.has_role("a");\n' * 2
    found = scored(tmp_path, "policy: p.polar\ninvariants:\n  - {name: a, never: delete_image}\n", twice)
    # One of two rules that say the same can go without a trace; one that says something else cannot.
    assert found.equal == 2
    assert [one.mutant.change for one in found.survivors] == 2 * [
        "the condition is taken out",
        "the condition is turned round",
        "another role",
    ]


def test_a_sample_is_spread_over_the_text(tmp_path: Path) -> None:
    found = Mutations(sources_of(tmp_path, POLICY)).all()
    some = sampled(found, 5)
    assert len(some) == 5
    assert some[0] is found[0] and some[-1].line > 8
    assert sampled(found, 10_000) == found


def test_a_saved_policy_has_no_text_to_change(tmp_path: Path) -> None:
    policy = load_tested(sources_of(tmp_path, POLICY)).policy
    (tmp_path / "saved.json").write_bytes(save(policy))
    assert Mutations(loading.read([str(tmp_path / "saved.json")])).all() == []
