"""Test files of policies: what they may say, what is wrong with them, and what comes of running them."""

from __future__ import annotations

from pathlib import Path

import pytest

from protect.testing.coverage import coverage
from protect.testing.documents import SuiteError
from protect.testing.policies import Policies
from protect.testing.proofs import Proof, prove
from protect.testing.reading import read
from protect.testing.running import Outcome, Ran, Result, is_failure, prepared, run
from protect.testing.suites import Answer
from protect.testing.text import lines, summary

POLICY = """\
# Who reads.
# id: reads
allow(subject: Subject, "get_image", image: Image) if
    subject.has_role("reader") and image.visibility = "public";
allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;
allow(subject: Subject, "download_image", image: Image) if image.owner = subject.tenant;
allow(subject: Subject, "publicize_image", _image: Image) if subject.has_role("admin");
forbid(_subject: Subject, "download_image", image: Image) if image.has_tag("locked");
allow(subject: Subject, action, property: Property) if
    action in ["create", "read", "update"] and property.image.owner = subject.tenant;
forbid(subject: Subject, "update", property: Property) if
    property.name = "owner" and not subject.has_role("admin");
forbid(_subject: Subject, "create", property: Property) if property.matches("^hw_");
discard(_subject: Subject, "create", property: Property) if property.name = "hw_rng_model";
"""

WORLD = """\
policy: p.polar
subjects:
  alice: {roles: [member], tenant: acme}
  rita: {roles: [reader], tenant: other}
images:
  own: {owner: acme, visibility: private, properties: {note: x}}
  public: {owner: globex, visibility: public}
  locked: {owner: acme, visibility: private, tags: [locked]}
attributes:
  owner_of_own: {name: owner, image: own}
"""


def suite_of(tmp_path: Path, tests: str, *, policy: str = POLICY, world: str = WORLD) -> Ran:
    """Write a policy and a test file, run it, and return what came of it."""
    (tmp_path / "p.polar").write_text(policy, encoding="utf-8")
    file = str(tmp_path / "p_test.yaml")
    suite = read(world + tests, file)
    tested = Policies().load(suite.policy, file)
    return run(prepared(suite, tested), tested, clock=lambda: 0.0)


def mistakes(tmp_path: Path, tests: str, *, world: str = WORLD) -> list[str]:
    """Return ``line:column: message (help)`` of each mistake; lines count from the end of ``world``."""
    with pytest.raises(SuiteError) as caught:
        suite_of(tmp_path, tests, world=world)
    above = world.count("\n")
    return [
        f"{problem.line - above}:{problem.column}: {problem.message}" + (f" ({problem.help})" if problem.help else "")
        for problem in caught.value.problems
    ]


def outcome_of(ran: Ran, name: str) -> Outcome:
    return next(result.outcome for result in ran.results if result.test.name == name)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        pytest.param(
            "{subjects: alice, actions: get_image, resources: own, expect: allow}", Outcome.PASSED, id="one question"
        ),
        pytest.param(
            "{subjects: rita, actions: get_image, resources: own, expect: allow}",
            Outcome.FAILED,
            id="the same for somebody else's image",
        ),
        pytest.param(
            "{subjects: [alice, rita], actions: get_image, resources: [own, public], "
            "allow: {alice: {get_image: own}, rita: {get_image: public}}}",
            Outcome.PASSED,
            id="what a list leaves out is denied",
        ),
        pytest.param(
            "{subjects: [alice, rita], actions: get_image, resources: [own, public], allow: {rita: '*'}}",
            Outcome.FAILED,
            id="a list that says too much and too little",
        ),
        pytest.param(
            "{exactly: {subject: alice, resource: own, actions: [get_image, download_image]}}",
            Outcome.PASSED,
            id="exactly these actions",
        ),
        pytest.param(
            "{exactly: {subject: alice, resource: own, actions: [get_image]}}",
            Outcome.FAILED,
            id="exactly these actions, and one is not listed",
        ),
        pytest.param(
            "{exactly: {action: get_image, resource: public, subjects: [rita]}}",
            Outcome.PASSED,
            id="exactly these subjects",
        ),
        pytest.param(
            "{exactly: {action: get_image, resource: public, subjects: [rita, alice]}}",
            Outcome.FAILED,
            id="exactly these subjects, and one too many",
        ),
        pytest.param(
            "{exactly: {action: get_image, subject: alice, resources: [own, locked]}}",
            Outcome.PASSED,
            id="exactly these resources",
        ),
        pytest.param(
            "{subjects: alice, actions: update, resources: owner_of_own, expect: deny}",
            Outcome.PASSED,
            id="an attribute is asked of forbid",
        ),
        pytest.param(
            "{subjects: alice, actions: delete, resources: owner_of_own, expect: allow}",
            Outcome.PASSED,
            id="an attribute needs no allow",
        ),
        pytest.param(
            "{subjects: rita, actions: get_image, resources: public, expect: allow, because: reads}",
            Outcome.PASSED,
            id="because of a rule's id",
        ),
        pytest.param(
            "{subjects: alice, actions: get_image, resources: own, expect: allow, because: reads}",
            Outcome.FAILED,
            id="allowed, but because of another rule",
        ),
        pytest.param(
            "{subjects: alice, actions: download_image, resources: locked, expect: deny, "
            "because: 'forbid(_subject:Subject, \"download_image\", image: Image)'}",
            Outcome.PASSED,
            id="forbidden, because of a rule's head, however it is spaced",
        ),
        pytest.param(
            "{subjects: rita, actions: download_image, resources: own, expect: deny, "
            "because: 'forbid(_subject: Subject, \"download_image\", image: Image)'}",
            Outcome.FAILED,
            id="denied, but by no rule",
        ),
        pytest.param(
            "{subjects: rita, actions: get_image, resources: own, expect: allow, skip: not yet}",
            Outcome.SKIPPED,
            id="skipped with a reason",
        ),
    ],
)
def test_a_test_passes_where_the_policy_answers_so(tmp_path: Path, test: str, expected: Outcome) -> None:
    ran = suite_of(tmp_path, f"tests:\n  - {{name: it, {test[1:]}\n")
    assert outcome_of(ran, "it") is expected


def test_a_table_has_one_of_the_three_across(tmp_path: Path) -> None:
    ran = suite_of(
        tmp_path,
        """\
tests:
  - name: resources across
    table: |
      subject  action          own    public  locked
      alice    get_image       allow  -       allow
      # a comment, and a cell that is not asked
      alice    download_image  allow  deny    .

      rita     get_image       -      allow   -
  - name: actions across
    table: |
      subject  resource  get_image  download_image
      alice    own       allow      allow
      alice    locked    allow      deny
  - name: subjects across
    table: |
      action     resource  alice  rita
      get_image  public    -      allow
      get_image  own       allow  allow
""",
    )
    assert [str(result.outcome) for result in ran.results] == ["passed", "passed", "failed"]
    [wrong] = ran.results[2].wrong()
    assert (wrong.expectation.subject, wrong.expectation.line, wrong.got) == ("rita", 29, Answer.DENY)


def test_a_table_of_properties_tells_four_answers_apart(tmp_path: Path) -> None:
    ran = suite_of(
        tmp_path,
        """\
tests:
  - name: properties
    images: [own, locked]
    properties: |
      subject  property       C R U D
      alice    note           c r u -
      alice    hw_rng_model   ~ r u -
      alice    hw_cpu_cores   - r u -
      rita     note           - - - -
  - name: dropped is not denied
    images: own
    properties: |
      subject  property      C
      alice    hw_rng_model  -
""",
    )
    assert [str(result.outcome) for result in ran.results] == ["passed", "failed"]
    [wrong] = ran.results[1].wrong()
    assert wrong.got is Answer.DISCARD


INVARIANTS = [
    ('never: publicize_image\n    when: not subject.has_role("Admin")', Proof.PROVEN),
    ("never: publicize_image", Proof.REFUTED),
    ('allowed: publicize_image\n    only_when: subject.has_role("admin")', Proof.PROVEN),
    ("allowed: get_image\n    only_when: image.owner = subject.tenant", Proof.REFUTED),
    ('allowed: get_image\n    only_when: image.owner = subject.tenant or image.visibility in ["public"]', Proof.PROVEN),
    ("always: get_image\n    when: image.owner = subject.tenant", Proof.PROVEN),
    ("always: download_image\n    when: image.owner = subject.tenant", Proof.REFUTED),
    (
        'always: download_image\n    when: image.owner = subject.tenant and not image.has_tag("locked")',
        Proof.PROVEN,
    ),
    ("allowed: download_image\n    implies: get_image", Proof.PROVEN),
    ("allowed: get_image\n    implies: download_image", Proof.REFUTED),
    (
        "allowed: get_image\n    implies: download_image\n"
        '    when: image.owner = subject.tenant and not image.has_tag("locked")',
        Proof.PROVEN,
    ),
    ("type: Property\n    never: delete", Proof.PROVEN),
    ('type: Property\n    never: create\n    when: property.matches("^hw_")', Proof.PROVEN),
    ('type: Property\n    never: update\n    when: property.matches("^hw_")', Proof.REFUTED),
    ("type: Property\n    allowed: [create, update]\n    implies: read", Proof.PROVEN),
    ("type: Property\n    allowed: read\n    implies: create", Proof.REFUTED),
    ('type: Property\n    allowed: read\n    implies: create\n    when: property.name = "note"', Proof.PROVEN),
    (
        'type: Attribute\n    never: update\n    when: property.name = "owner" and not subject.has_role("admin")',
        Proof.PROVEN,
    ),
    ("type: Attribute\n    never: delete", Proof.REFUTED),
    ("never: '*'\n    when: subject.tenant != image.owner and image.size > 1", Proof.REFUTED),
    ("never: any other", Proof.PROVEN),
    ("type: Member\n    never: '*'", Proof.PROVEN),
    ('never: get_image\n    when: context.get("api") = "v1" and image.get("x") < 2', Proof.REFUTED),
]


@pytest.mark.parametrize(("said", "expected"), INVARIANTS, ids=lambda value: str(value).replace("\n    ", "; "))
def test_an_invariant_is_about_every_request(tmp_path: Path, said: str, expected: Proof) -> None:
    ran = suite_of(tmp_path, f"invariants:\n  - name: it\n    {said}\n")
    [result] = ran.results
    assert result.verdict is not None
    assert result.verdict.proof is expected
    assert bool(result.verdict.examples) is (expected is Proof.REFUTED)


@pytest.mark.parametrize(
    ("said", "anyway"),
    [
        pytest.param(
            "never: get_image, when: subject.authenticated and subject.authenticated = false", True, id="never"
        ),
        pytest.param("never: get_image, when: subject.authenticated = false", False, id="never of somebody"),
        pytest.param("always: get_image, when: image.size < 1 and image.size > 2", True, id="always"),
        pytest.param(
            "allowed: '*', only_when: subject.authenticated or not subject.authenticated", True, id="only when anything"
        ),
        pytest.param("allowed: '*', only_when: subject.authenticated", False, id="only when something"),
        pytest.param(
            'type: Property, never: update, when: property.name = "a" and property.name = "b"',
            True,
            id="two names at once",
        ),
        pytest.param('type: Property, never: update, when: property.name = "zz"', False, id="a name of nobody's"),
        pytest.param("allowed: get_image, implies: get_image", True, id="an action that implies itself"),
        pytest.param("allowed: get_image, implies: get_images", False, id="an action that implies another one"),
    ],
)
def test_an_invariant_that_holds_whatever_the_policy_is_is_a_mistake(tmp_path: Path, said: str, anyway: bool) -> None:
    tests = f"invariants:\n  - {{name: it, {said}}}\n"
    if anyway:
        [mistake] = mistakes(tmp_path, tests)
        assert "the invariant `it` holds whatever the policy is" in mistake
    else:
        assert suite_of(tmp_path, tests).results


@pytest.mark.parametrize(
    "asks",
    [
        pytest.param("subjects: []\n    actions: [get_image]\n    resources: '*'\n    expect: deny", id="of nobody"),
        pytest.param("subjects: '*'\n    actions: []\n    resources: '*'\n    allow: {}", id="of no action"),
        pytest.param(
            "table: |\n      subject action own\n      alice get_image .", id="with answers that do not count"
        ),
    ],
)
def test_a_test_that_asks_nothing_is_a_mistake(tmp_path: Path, asks: str) -> None:
    [mistake] = mistakes(tmp_path, f"tests:\n  - name: it\n    {asks}\n")
    assert "the test `it` asks nothing" in mistake


def test_an_invariant_without_an_action_is_a_mistake(tmp_path: Path) -> None:
    [mistake] = mistakes(tmp_path, "invariants:\n  - {name: it, never: []}\n")
    assert mistake.startswith("2:23: no action is named")


def test_a_test_that_asks_more_than_anybody_reads_is_a_mistake(tmp_path: Path) -> None:
    world = "policy: p.polar\nsubjects: {" + ", ".join(f"s{n}: {{}}" for n in range(400)) + "}\n"
    world += "images: {" + ", ".join(f"i{n}: {{}}" for n in range(400)) + "}\n"
    tests = "tests:\n  - {name: it, subjects: '*', actions: [get_image], resources: '*', expect: deny}\n"
    [mistake] = mistakes(tmp_path, tests, world=world)
    assert "160,000 questions, more than 100,000" in mistake


def test_an_example_against_an_invariant_is_decided_so_by_the_policy(tmp_path: Path) -> None:
    ran = suite_of(tmp_path, "invariants:\n  - {name: it, never: download_image}\n")
    [result] = ran.results
    assert result.verdict is not None
    [example] = result.verdict.examples
    assert ran.tested.policy.decide(example.query).allowed
    assert example.sentence.endswith("may download_image an image that is its own")
    assert not example.oddities


def test_what_cannot_be_proven_fails_unless_that_is_allowed(tmp_path: Path) -> None:
    ran = suite_of(
        tmp_path,
        """\
invariants:
  - {name: strict, never: download_image, when: image.has_tag("locked")}
  - {name: lenient, never: download_image, when: image.has_tag("locked"), cannot_prove: allow}
""",
    )
    for result in ran.results:
        verdict = prove(ran.tested.policy, result.test, most=0)  # type: ignore[arg-type]
        assert verdict.proof is Proof.OPEN
        assert verdict.doubts
        unproven = Result(result.test, Outcome.UNPROVEN, verdict=verdict)
        assert is_failure(unproven) is (result.test.name == "strict")
    # With room to look, both are proven.
    assert {result.outcome for result in ran.results} == {Outcome.PASSED}


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        pytest.param(
            "tests:\n  - {name: a, subjects: alcie, actions: get_image, resources: own, expect: allow}\n",
            ["2:25: there is no subject `alcie` (did you mean `alice`?)"],
            id="a misspelt subject",
        ),
        pytest.param(
            "tests:\n  - {name: a, subjects: alice, actions: get_imge, resources: own, expect: allow}\n",
            [
                "2:41: neither the policy nor the API knows an action `get_imge` on a resource of type Image "
                "(did you mean `get_image`?)"
            ],
            id="a misspelt action would only be denied",
        ),
        pytest.param(
            "tests:\n  - {name: a, subjects: alice, actions: get_image, resources: own, expect: allowed}\n",
            ["2:76: there is no answer `allowed` (did you mean `allow`?)"],
            id="a misspelt answer",
        ),
        pytest.param(
            "tests:\n  - {name: a, subject: alice, actions: get_image, resources: own, expect: allow}\n",
            ["2:5: the test needs `subjects`", "2:15: a test has no `subject` (did you mean `subjects`?)"],
            id="a misspelt key",
        ),
        pytest.param(
            "tests:\n  - name: a\n    name: b\n    subjects: alice\n    actions: get_image\n    resources: own\n"
            "    expect: deny\n",
            ["3:5: `name` stands here already, in line 12 (keep one of them)"],
            id="a key that stands twice",
        ),
        pytest.param(
            "tests:\n  - {name: a, exactly: {subject: alice, resource: own}}\n",
            [
                "2:24: `exactly` fixes two of subject, action and resource, and lists the third "
                "(such as `{subject: alice, resource: own, actions: [get_image]}`)"
            ],
            id="an exact set of nothing",
        ),
        pytest.param(
            "tests:\n  - name: a\n    table: |\n      subject  action     own  publc\n"
            "      alice    get_image  yes  -\n      alice    get_image  -    -\n      bob  get_image\n",
            [
                "4:32: there is no resource `publc` (did you mean `public`?)",
                "5:27: `yes` is no answer (known: allow, deny, discard, error `-` is deny, `.` is not asked)",
                "6:7: the row of alice, get_image stands in line 15 already (keep one of them)",
                "7:7: the row has 2 cells, and there are 4 columns",
            ],
            id="a table with all kinds of mistakes",
        ),
        pytest.param(
            "tests:\n  - name: a\n    images: own\n    properties: |\n      subject  property  C X\n"
            "      alice    note      c r\n",
            [
                "5:28: a table of properties has the columns subject, property and operations "
                "(known: C, D, R, U; such as `subject  property  C R U D`)"
            ],
            id="a column that is no operation",
        ),
        pytest.param(
            "tests:\n  - name: a\n    images: own\n    properties: |\n      subject  property  C R\n"
            "      alice    note      r c\n",
            [
                "6:26: `r` in column C is no answer (`C` allow, `-` deny, `~` dropped without a word, `!` error, "
                "`.` not asked)",
                "6:28: `c` in column R is no answer (`R` allow, `-` deny, `~` dropped without a word, `!` error, "
                "`.` not asked)",
            ],
            id="letters in each other's columns",
        ),
        pytest.param(
            "invariants:\n  - name: a\n    never: get_image\n    when: image.ownr = subject.tenant\n",
            ["4:17: Image has no `ownr` (did you mean `owner`?)"],
            id="a misspelt fact",
        ),
        pytest.param(
            "invariants:\n  - name: a\n    never: get_image\n    when: |\n      image.owner = subject.tenant and\n"
            "      owns(subject, image)\n",
            [
                "6:7: `owns` is no word of the vocabulary (write what it asks: a condition that came from the policy "
                "could not catch its mistakes)"
            ],
            id="a rule of the policy in a condition",
        ),
        pytest.param(
            "invariants:\n  - name: a\n    never: get_image\n    when: 'subject.has_role(\"x\") and'\n",
            ["4:37: expected a value, and the condition ends here"],
            id="half a condition",
        ),
        pytest.param(
            "invariants:\n  - name: a\n    never: get_image\n    when: user.tenant = image.owner\n",
            ["4:11: `user` is nothing here (known: `subject`, `image`, `resource`, `context`)"],
            id="a name that no condition knows",
        ),
        pytest.param(
            "invariants:\n  - {name: a, never: get_image, always: get_image}\n",
            [
                "2:5: an invariant makes one demand (`never: actions`, `always: actions`, or `allowed: actions` with "
                "`only_when:` or `implies:`)"
            ],
            id="two demands at once",
        ),
        pytest.param(
            "tests:\n  - {name: a, subjects: alice, actions: get_image, resources: own, expect: allow, skip: }\n",
            ["2:88: the reason of `skip` is text, and YAML takes this for nothing (write it, or take the key out)"],
            id="skipped without a reason",
        ),
        pytest.param(
            "tests:\n  - {name: a, subjects: alice, actions: get_image, resources: own, expect: allow, "
            "because: 'p.polar:3'}\n",
            [
                "2:92: no rule is `p.polar:3` (a rule is not named by its line, which changes; name its head, or an id "
                "in a comment `# id: …`)"
            ],
            id="a rule named by its line",
        ),
        pytest.param("tests: [*own]\n", ["1:9: the alias `*own` is not read here (write it out)"], id="an alias"),
        pytest.param(
            "tests: [\n", ["2:1: not YAML: expected the node content, but found '<stream end>'"], id="no YAML"
        ),
        pytest.param("\n", ["-9:1: there is nothing to test (write `tests:` or `invariants:`)"], id="nothing to test"),
    ],
)
def test_every_mistake_has_its_place(tmp_path: Path, tests: str, expected: list[str]) -> None:
    assert mistakes(tmp_path, tests) == expected


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(
            "policy: p.polar\nsubjects: {a: {rolse: [x]}}\n",
            "the subject `a` has no `rolse` (did you mean `roles`?)",
            id="a misspelt fact of a subject",
        ),
        pytest.param(
            "policy: p.polar\nsubjects: {a: {tenant: 007}}\n",
            "`tenant` is text, and YAML takes this for a number (`007`) (put it in quotes: `'007'`)",
            id="a number for a text",
        ),
        pytest.param(
            "policy: p.polar\nimages: {a: {visibility: pubic}}\n",
            "there is no visibility `pubic` (did you mean `public`?)",
            id="a misspelt visibility",
        ),
        pytest.param(
            "policy: p.polar\nimages: {a: {members: {acme: acepted}}}\n",
            "there is no status of a member `acepted` (did you mean `accepted`?)",
            id="a misspelt status of a member",
        ),
        pytest.param(
            "policy: p.polar\nimages: {a: {protected: yes}}\n",
            "`protected` is `true` or `false`, and this is true or false (`yes`)",
            id="yes for true",
        ),
        pytest.param(
            "policy: p.polar\nimages: {a: {properties: {owner: x}}}\n",
            "`owner` is an attribute of the API, no property (write it beside `properties`)",
            id="an attribute among the properties",
        ),
        pytest.param(
            "policy: p.polar\nimages: {a: {}}\nmembers: {a: {tenant: x, image: a}}\n",
            "there is a `a` already, in line 2 (call it something else)",
            id="two resources of one name",
        ),
        pytest.param(
            "policy: p.polar\nmembers: {m: {tenant: x, image: missing}}\n",
            "there is no image `missing` (there is none)",
            id="a member of no image",
        ),
        pytest.param(
            "policy: gone\ninvariants: [{name: x, never: get_image}]\n",
            "the policy `{tmp}/gone` does not exist (`policy:` is a path from the test file)",
            id="a policy that is not there",
        ),
    ],
)
def test_what_a_file_is_about_is_checked_as_well(tmp_path: Path, world: str, expected: str) -> None:
    found = mistakes(tmp_path, "", world=world)
    assert expected.replace("{tmp}", str(tmp_path)) in [one.split(": ", 1)[1] for one in found]


def test_a_failure_says_what_was_asked_and_why_it_came_so(tmp_path: Path) -> None:
    ran = suite_of(
        tmp_path,
        """\
tests:
  - name: readers see everything
    table: |
      subject  action     own    public
      rita     get_image  allow  allow
      alice    get_image  allow  -
""",
    )
    text = "\n".join(lines([ran])).replace(str(tmp_path), "T")
    assert text == EXPECTED
    assert summary([ran]) == "0 passed, 1 failed; 4 questions asked"


EXPECTED = """\
T/p_test.yaml:12: FAILED: readers see everything
    1 of 4 answers are not what the test expects
       subject  action     own    public
    -  rita     get_image  allow  allow
    +  rita     get_image  deny   allow
                           ^^^^
       alice    get_image  allow  deny

    rita asks to get_image own  (line 15)
        subject   id rita, tenant other, roles reader
        image     id own, owner acme, visibility private, properties {note: x}
        expected  allow
        got       deny: no rule allows it
        why
            subject has role "reader": yes
            image.visibility equals "public": no
            image.owner equals subject.tenant: no
        T/p.polar:3 would allow it, if
            image.visibility equals "public": yes
        T/p.polar:5 would allow it, if
            image.owner equals subject.tenant: yes
"""


def test_an_invariant_that_fails_shows_a_request(tmp_path: Path) -> None:
    ran = suite_of(tmp_path, "invariants:\n  - {name: nobody downloads, never: download_image}\n")
    text = "\n".join(lines([ran])).replace(str(tmp_path), "T")
    assert text.startswith(
        "T/p_test.yaml:12: FAILED: nobody downloads\n"
        "    never: download_image of an image\n"
        "    counterexample: any subject, even one without a role, may download_image an image that is its own\n"
    )
    assert "allowed by T/p.polar:6" in text


def test_coverage_names_the_rules_that_decide_no_test(tmp_path: Path) -> None:
    ran = suite_of(
        tmp_path,
        "tests:\n  - {name: a, subjects: alice, actions: [get_image, download_image], resources: [own, locked], "
        "allow: {alice: {get_image: '*', download_image: own}}}\n",
        policy=POLICY + 'allow(_s: Subject, "get_image", _i: Image) if 1 = 2;\n',
    )
    found = coverage(ran.tested, [ran])
    assert [rule.line for rule in found.covered] == [5, 6, 8]
    assert [rule.line for rule in found.uncovered] == [3, 7, 9, 11, 13, 14]
    assert [rule.line for rule in found.idle] == [15]
    assert round(found.percent) == 33


def test_protection_files_are_tested_like_other_policies(tmp_path: Path) -> None:
    (tmp_path / "p.conf").write_text(
        "[^hw_]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n[.*]\ncreate = member\nread = @\n"
        "update = member\ndelete = !\n",
        encoding="utf-8",
    )
    ran = suite_of(
        tmp_path,
        """\
tests:
  - name: it
    images: own
    because: ['[^hw_]', '[.*]']
    properties: |
      subject  property  C R U D
      alice    hw_disk   - r - -
      alice    note      c r u -
invariants:
  - {name: nobody deletes, type: Property, never: delete, when: 'not property.matches("^hw_|^os_glance")'}
""",
        world=WORLD.replace("p.polar", "p.conf"),
    )
    assert {result.outcome for result in ran.results} == {Outcome.PASSED}
    assert [rule.head for rule in coverage(ran.tested, [ran]).covered] == ["[^hw_]", "[.*]"]
