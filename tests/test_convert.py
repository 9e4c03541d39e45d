"""`protect convert`: what is written decides as what was read, and what cannot be converted is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from protect.analysis import compare
from protect.cli import main
from protect.convert.patterns import translated
from protect.loading import Sources, compile_sources
from protect.policy.policy import Policy
from protect.values import Image, Member, Metadef, Property, Query, Subject

CONF = """\
# Who may do what with properties.

# which kernel to boot
[^kernel_id$]
create = admin
read = @
update = admin
delete = !

; and which disk
[^ramdisk_id$]
create = admin
read = @
update = admin
delete = !

[^hw_\\d+]
create = member, Operator
read = @
update = member
delete = admin

[.*]
create = member
read = member, reader
update = member
delete = member
"""


def compiled(text: str, name: str = "policy.polar") -> Policy:
    return compile_sources(Sources(((name, text.encode()),)))


def convert(tmp_path: Path, text: str, name: str, *options: str) -> tuple[int, str]:
    source, output = tmp_path / name, tmp_path / "converted"
    source.write_text(text)
    status = main(["convert", str(source), "-o", str(output), "--force", *options])
    return status, output.read_text() if output.exists() else ""


def converted(tmp_path: Path, text: str, name: str, *options: str) -> str:
    status, written = convert(tmp_path, text, name, *options)
    assert status == 0
    return written


@pytest.fixture(scope="module")
def from_conf(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return compiled(converted(tmp_path_factory.mktemp("conf"), CONF, "a.conf"))


@pytest.fixture(scope="module")
def from_yaml(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return compiled(converted(tmp_path_factory.mktemp("yaml"), YAML, "policy.yaml"))


def test_a_protection_file_becomes_rules_that_decide_everything_alike(tmp_path: Path) -> None:
    written = converted(tmp_path, CONF, "property-protections.conf")

    comparison = compare(compiled(CONF, "x.conf"), compiled(written), everything=True)
    assert comparison.compared > 10
    assert (comparison.differences, comparison.unproven) == ([], [])


def test_comments_go_along_and_sections_that_say_the_same_share_rules(tmp_path: Path) -> None:
    written = converted(tmp_path, CONF, "property-protections.conf")

    assert "# Who may do what with properties." in written
    assert "# --- [^kernel_id$], property-protections.conf:4 ---\n# which kernel to boot\n" in written
    assert "# and which disk" in written
    assert 'named_1("kernel_id");\nnamed_1("ramdisk_id");' in written
    assert main(["lint", "--quiet", str(Path(tmp_path / "converted").rename(tmp_path / "made.polar"))]) == 0


@pytest.mark.parametrize(
    ("roles", "service", "action", "name", "allowed"),
    [
        pytest.param(["admin"], [], "update", "kernel_id", True, id="an admin changes a name that is spelt out"),
        pytest.param(
            ["member"], [], "update", "kernel_id", False, id="a member does not, though the last section fits"
        ),
        pytest.param([], ["admin"], "update", "kernel_id", True, id="a confirmed service does by its own role"),
        pytest.param(["member"], [], "update", "kernel_id\n", False, id="`$` stands before a last line end, too"),
        pytest.param(["member"], [], "update", "kernel_idx", True, id="a longer name is another"),
        pytest.param(["operator"], [], "create", "hw_٣", True, id="digits of every script are digits"),
        pytest.param(["operator"], [], "create", "hw_x", False, id="a letter is none"),
        pytest.param([], [], "delete", "os_glance_x", True, id="the names of the API itself are left to it"),
        pytest.param([], [], "delete", "x_os_glance", False, id="names that merely hold its prefix are not"),
    ],
)
def test_rules_from_a_protection_file(
    from_conf: Policy, roles: list[str], service: list[str], action: str, name: str, allowed: bool
) -> None:
    subject = Subject("u", "t", roles=frozenset(roles), service_roles=frozenset(service))
    query = Query(subject, action, Property(name, Image()))

    assert from_conf.decide(query).allowed is allowed
    assert compiled(CONF, "a.conf").decide(query).allowed is allowed


@pytest.mark.parametrize("seed", range(8))
def test_protection_files_of_every_shape(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    patterns = ["^a$", "b", "^b_", "c$", "^(a|b)x", "x.*y", "^hw_[a-c]+$", "_", ".*", "^a_b$", "os_gl", "d?e", "^b$"]
    who = ["admin", "member, admin", "@", "!", "Reader", "admin, reader", ""]
    text = ""
    for pattern in chance.sample(patterns, chance.randint(1, 7)):
        text += f"[{pattern}]\n"
        text += "".join(f"{operation} = {chance.choice(who)}\n" for operation in ("create", "read", "update", "delete"))

    policy = compiled(converted(tmp_path, text, "a.conf"))
    native = compiled(text, "a.conf")
    for _ in range(300):
        name = "".join(chance.choice("abcdexy_hw\n") for _ in range(chance.randint(0, 5)))
        subject = Subject(roles=frozenset(chance.sample(["admin", "member", "reader"], chance.randint(0, 2))))
        query = Query(subject, chance.choice(["create", "read", "update", "delete", "x"]), Property(name, Image()))
        assert policy.decide(query).allowed is native.decide(query).allowed, query


@pytest.mark.parametrize(
    "pattern", ["^a$", "a|b$", "x.*", "[$]", r"\.x", r"\d", r"[\d_]+$", "^$", "(ab)+", r"a\Z", "é", "[^a]"]
)
def test_a_pattern_finds_the_same_in_the_other_syntax(pattern: str) -> None:
    from protect.policy.questions import matcher

    other = translated(pattern)
    assert other is not None
    for name in ("", "a", "a\n", "b", "b\n", "xy", "$", ".x", "x", "3", "٣", "_", "ab", "é", "a\nb", "\n", "aa\n\n"):
        assert matcher(other)(name) is (re.search(pattern, name) is not None), (other, name)


NAMES = "abcdefghijklmnopqrstuvwxyz"


def sections(patterns: list[str], who: Callable[[int], str]) -> str:
    """Return a protection file of many sections; ``who`` says who may update, by the section's number."""
    return "".join(
        f"[{pattern}]\ncreate = @\nread = @\nupdate = {who(number)}\ndelete = admin\n\n"
        for number, pattern in enumerate(patterns)
    )


@pytest.mark.parametrize(
    ("shape", "name", "other"),
    [
        pytest.param("^x{}_", "x41_a", "x42_a", id="patterns that begin differently"),
        pytest.param("x{}_", "a_x41_x7_", "x42_a", id="patterns that several of fit one name"),
        pytest.param("^x{}_$", "x41_", "x42_", id="names that are spelt out"),
    ],
)
def test_a_long_file_of_sections_that_all_say_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: str, name: str, other: str
) -> None:
    text = sections([shape.format(number) for number in range(45)], lambda number: f"role_{number}")

    policy = compiled(converted(tmp_path, text, "a.conf"))
    assert "45 sections in a row that all say something else take long" in capsys.readouterr().err
    number = 7 if "x7_" in name else 41
    subject = Subject(roles=frozenset({f"role_{number}"}))
    assert policy.decide(Query(subject, "update", Property(name, Image()))).allowed
    assert not policy.decide(Query(subject, "update", Property(other, Image()))).allowed


def test_a_chain_of_links_is_the_policy_that_it_was_made_of() -> None:
    from protect.convert.from_protections import BEHIND, Writer, comments
    from protect.convert.proof import chained, explored
    from protect.protections.sections import Reader

    text = sections(["^read$", "^(a|b)", "c", "^ab$", "^x", "update"], lambda number: f"role_{number % 4}, member")
    reader = Reader()
    reader.read(text, "a.conf")
    writer = Writer(reader.sections, {"a.conf": comments(text)})
    whole = compiled(writer.written())
    assert explored(whole)
    links = [compiled(link) for link in writer.links()]
    assert len(links) == writer.groups + 1

    comparison = compare(whole, chained(links, BEHIND), everything=True)
    assert (comparison.differences, comparison.unproven) == ([], [])
    # With a link that says something else, it is another policy.
    broken = [*links[:3], links[1], *links[4:]]
    assert compare(whole, chained(broken, BEHIND), everything=True).differences


@pytest.mark.parametrize(
    "link",
    [
        pytest.param(
            'section_1(_s, _a, _p) if not context.get("behind") = true;', id="a link that turns the answer around"
        ),
        pytest.param(
            'section_1(s, _a, _p) if context.get("behind") = true and s.has_role("x");', id="a link that asks on"
        ),
    ],
)
def test_what_is_no_chain_proves_nothing(link: str) -> None:
    from protect.convert.from_protections import BEHIND
    from protect.convert.proof import Broken, chained

    entry = "allow(subject: Subject, action, property: Property) if section_1(subject, action, property);\n"
    fine = compiled(entry + 'section_1(_s, _a, _p) if context.get("behind") = true;')
    chained([fine, fine, compiled(entry + "section_1(_s, _a, _p) if false;")], BEHIND)
    with pytest.raises(Broken):
        chained([fine, compiled(entry + link), fine], BEHIND)


def test_many_sections_that_say_the_same_come_together_past_names_that_they_do_not_fit(tmp_path: Path) -> None:
    patterns = [f"^{one}{two}_" for one in NAMES[:2] for two in NAMES]
    text = sections([*patterns, "^aa", "z"], lambda number: ("admin", "member", "reader")[number % 3])

    written = converted(tmp_path, text, "a.conf")
    assert written.count("section_1(subject, action, property) if fits_1") == 1
    assert "section_5(" not in written
    assert 'property.matches("^ac_|^af_|^ai_|' in written
    policy, native = compiled(written), compiled(text, "a.conf")
    for name in ("aa_x", "aax", "ab_z", "bz_", "z", "bb_z", "os_glance_z", "q"):
        for role in ("admin", "member", "reader"):
            query = Query(Subject(roles=frozenset({role})), "update", Property(name, Image()))
            assert policy.decide(query).allowed is native.decide(query).allowed, query


@pytest.mark.parametrize(
    ("role", "rule"),
    [
        ("in", "role_in"),
        ("new", "role_new"),
        ("true", "role_true"),
        ("allow", "allow_2"),
        ("fits_1", "fits_1_2"),
        ("section_1", "section_1_2"),
        ("may_1", "may_1_2"),
        ("named_1", "named_1_2"),
        ("reserved", "reserved_2"),
        ("1st", "role_1st"),
        ("é", "role"),
        ('a"b\\c', "a_b_c"),
    ],
)
def test_roles_that_are_called_like_something_in_the_policy(tmp_path: Path, role: str, rule: str) -> None:
    text = f"[^a$]\ncreate = {role}\nread = @\nupdate = member\ndelete = !\n"
    written = converted(tmp_path, text, "a.conf")

    assert f"\n{rule}(subject) if subject.has_role(" in written
    policy = compiled(written)
    for held, allowed in ((role, True), ("member", False)):
        query = Query(Subject(roles=frozenset({held})), "create", Property("a", Image()))
        assert policy.decide(query).allowed is allowed


@pytest.mark.parametrize("before", ["", "[^a]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"])
@pytest.mark.parametrize("pattern", [".*", "^b", "^b$"])
def test_a_last_section_that_is_for_nobody(tmp_path: Path, before: str, pattern: str) -> None:
    text = f"{before}[{pattern}]\ncreate = !\nread = !\nupdate = !\ndelete = !\n"

    policy = compiled(converted(tmp_path, text, "a.conf"))
    assert policy.decide(Query(Subject(), "read", Property("a", Image()))).allowed is bool(before)
    assert not policy.decide(Query(Subject(), "read", Property("b", Image()))).allowed


def test_what_cannot_be_seen_has_no_place_in_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "[^a]\ncreate = adm\u202ein\nread = @\nupdate = @\ndelete = @\n"

    assert convert(tmp_path, text, "a.conf") == (1, "")
    assert "`adm\\u202ein` holds a character that cannot be seen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "head"), [("a.conf", "# protect: protection-format=policies\n"), ("a-policies.conf", "")]
)
def test_the_format_is_the_one_that_the_file_says(tmp_path: Path, name: str, head: str) -> None:
    text = head + "[^x]\ncreate = context_is_admin\nread = @\nupdate = !\ndelete = !\n"
    policy = compiled(converted(tmp_path, text, name))

    def may(role: str) -> bool:
        return policy.decide(Query(Subject(roles=frozenset({role})), "create", Property("x", Image()))).allowed

    assert may("admin")
    assert not may("context_is_admin")


def test_a_pattern_without_an_equal_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "[^(?!x)]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"

    assert convert(tmp_path, text, "a.conf") == (1, "")
    assert "a.conf:1: `^(?!x)` has no certain equal" in capsys.readouterr().err


def test_what_glance_takes_and_its_author_did_not_mean_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted(tmp_path, CONF.replace("member, Operator", "member and admin"), "a.conf")

    assert "a.conf:18:10: `member and admin` is one role" in capsys.readouterr().err


def test_a_file_that_names_policy_rules(tmp_path: Path) -> None:
    rules = tmp_path / "policy.yaml"
    rules.write_text('"owners": "rule:context_is_admin or (role:member and project_id:%(owner)s)"\n')
    text = "[^x]\ncreate = owners\nread = get_image\nupdate = owners\ndelete = context_is_admin\n"
    options = ("--protection-format", "policies", "--policy-rules", str(rules))
    policy = compiled(converted(tmp_path, text, "a.conf", *options))

    def may(action: str, owner: str) -> bool:
        subject = Subject("u", "ours", roles=frozenset({"member"}))
        return policy.decide(Query(subject, action, Property("x_1", Image(owner=owner)))).allowed

    assert may("update", "ours")
    assert not may("update", "theirs")
    assert not may("delete", "ours")


YAML = """\
# Who runs the cloud.
"context_is_admin": "role:admin or role:cloud_admin"
# Editors change every image.
"modify_image": "rule:context_is_admin or role:image_editor or (role:member and project_id:%(project_id)s)"
"publicize_image": "role:publisher and not 'linux':%(os_type)s"
"get_image": "rule:context_is_admin or (role:reader and ('public':%(visibility)s or 'shared':%(visibility)s))"
"delete_image": "!"
"deactivate": ""
"add_member": "rule:owner and True:%(protected)s"
"owner": "project_id:%(owner)s"
"copy_from": "role:x"
"get_metadef_namespaces": "role:reader and 'public':%(visibility)s"
"""


@pytest.mark.parametrize(
    ("roles", "action", "resource", "allowed"),
    [
        (["cloud_admin"], "upload_image", Image(owner="theirs"), True),
        (["member"], "upload_image", Image(owner="theirs"), False),
        (["image_editor"], "modify_image", Image(owner="theirs"), True),
        (["image_editor"], "upload_image", Image(owner="theirs"), False),
        (["publisher"], "publicize_image", Image(properties={"os_type": "bsd"}), True),
        (["publisher"], "publicize_image", Image(properties={"os_type": "linux"}), False),
        (["reader"], "get_image", Image(owner="theirs", visibility="shared", members={"ours": "pending"}), True),
        (["reader"], "get_image", Image(owner="theirs", visibility="shared", members={"others": "accepted"}), False),
        (["reader"], "get_image", Image(owner="ours", visibility="shared"), True),
        (["reader"], "get_image", Image(owner="ours", visibility="private"), False),
        (["admin"], "delete_image", Image(owner="ours"), False),
        ([], "deactivate", Image(owner="theirs"), True),
        ([], "reactivate", Image(owner="theirs"), False),
        ([], "add_member", Member("others", Image(owner="ours", protected=True)), True),
        ([], "add_member", Member("others", Image(owner="ours")), False),
        (["reader"], "get_metadef_namespaces", Metadef(visibility="public"), True),
        (["reader"], "get_metadef_namespaces", Metadef(owner="ours", visibility="private"), False),
        (["image_editor"], "update", Property("x", Image(owner="theirs")), True),
        (["publisher"], "update", Property("x", Image(owner="theirs")), False),
    ],
)
def test_rules_of_oslo_policy(
    from_yaml: Policy, roles: list[str], action: str, resource: Image | Member | Metadef | Property, allowed: bool
) -> None:
    subject = Subject("u", "ours", roles=frozenset(roles))
    assert from_yaml.decide(Query(subject, action, resource)).allowed is allowed


def test_what_a_file_of_rules_says_and_does_not_mean_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = converted(tmp_path, YAML, "policy.yaml")

    said = capsys.readouterr().err
    assert "policy.yaml:6:1: `'shared':%(visibility)s` in `get_image` holds for images shared with anybody" in said
    assert "policy.yaml:8:1: `deactivate` lets everybody in" in said
    assert "policy.yaml:11:1: Glance does not ask for `copy_from`" in said
    assert "`owner`" not in said
    assert "Enforcer" in said
    assert "# policy.yaml:4\n# Editors change every image.\n" in written


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('"get_image": "http://127.0.0.1/"', "asks somebody else"),
        ('"get_image": "rule:gone"', "no rule is called `gone`"),
        ('"get_image": "role:a and"', "cannot be understood"),
        ('1: "@"', "the name of a rule is no text"),
        ('? \n: "@"', "the name of a rule is no text"),
        ('<<: {"get_image": "@"}', "the name of a rule is no text"),
        ('"get_image": [[["role:a"]]]', "nested too deeply"),
        ('"get_image": &a [*a]', "nested too deeply"),
    ],
)
def test_rules_that_cannot_be_converted_are_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, problem: str
) -> None:
    assert convert(tmp_path, line, "policy.yaml") == (2, "")
    said = capsys.readouterr().err
    assert "policy.yaml:1:" in said
    assert problem in said


def test_a_few_lines_of_aliases_do_not_become_millions_of_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['l0: &l0 ["role:a"]', *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))]

    assert convert(tmp_path, "\n".join(lines), "policy.yaml") == (2, "")
    assert "nested too deeply" in capsys.readouterr().err


def test_glances_own_rules_are_written_without_what_says_nothing_new(tmp_path: Path) -> None:
    written = converted(tmp_path, "", "policy.yaml")

    assert "shown_as_shared" not in written
    assert "        owns(subject, image) or\n        shared_with(subject, image) or\n" in written
    assert "    action in [\n        " in written
    assert max(map(len, written.splitlines())) <= 120


def test_a_role_that_the_image_names(tmp_path: Path) -> None:
    policy = compiled(converted(tmp_path, '"delete_image": "role:%(os_type)s"', "policy.yaml"))

    def may(role: str) -> bool:
        image = Image(owner="ours", properties={"os_type": "linux"})
        return policy.decide(Query(Subject("u", "ours", roles=frozenset({role})), "delete_image", image)).allowed

    assert may("linux")
    assert not may("bsd")


def test_rules_are_called_by_names_that_polar_has(tmp_path: Path) -> None:
    names = ("new", "not", "1st", "owns", "ü")
    said = " or ".join(f"rule:{name}" for name in names)
    lines = [f'"{name}": "role:r{number}"' for number, name in enumerate(names)]
    policy = compiled(converted(tmp_path, "\n".join([*lines, f'"delete_image": "{said}"']), "policy.yaml"))

    for number in range(len(names) + 1):
        query = Query(Subject("u", "ours", roles=frozenset({f"r{number}"})), "delete_image", Image(owner="ours"))
        assert policy.decide(query).allowed is (number < len(names))


def test_a_rule_about_an_image_where_glance_tells_nothing_of_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = '"tasks_api_access": "project_id:%(owner)s"'

    assert convert(tmp_path, line, "policy.yaml") == (1, "")
    assert "policy.yaml:1: `tasks_api_access` asks about an image" in capsys.readouterr().err


def test_the_enforcer_finds_a_rule_that_was_converted_wrongly(tmp_path: Path) -> None:
    from protect.convert.enforcer import proof
    from protect.convert.from_rules import Rules, Writer

    rules = Rules(YAML, "policy.yaml")
    written = Writer(rules).written()
    assert not proof(rules, compiled(written)).disagreements
    wrong = written.replace('subject.has_role("image_editor")', 'subject.has_role("publisher")')
    found = proof(rules, compiled(wrong)).disagreements
    assert found is not None
    assert {one.query.action for one in found} == {"modify_image"}


POLAR = """\
admin(subject) if subject.has_role("admin");
admin(subject) if subject.has_service_role("admin");
magic("kernel_id");
magic("ramdisk_id");
allow(_subject: Subject, "read", _property: Property);
allow(subject: Subject, action, property: Property) if
    action in ["create", "update", "delete"] and (not magic(property.name) or admin(subject));
"""


def test_rules_about_names_and_roles_become_a_protection_file(tmp_path: Path) -> None:
    written = converted(tmp_path, POLAR, "mine.polar", "--to", "conf")

    assert "[^kernel_id\\Z]\ncreate = admin\nread = @\nupdate = admin\ndelete = admin\n" in written
    assert written.endswith("[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n")
    policy = compiled(written, "x.conf")
    for name, roles in (("kernel_id", []), ("kernel_id", ["admin"]), ("x", []), ("kernel_id\n", [])):
        query = Query(Subject(roles=frozenset(roles)), "update", Property(name, Image()))
        assert policy.decide(query).allowed is compiled(POLAR).decide(query).allowed


def test_there_and_back_again(tmp_path: Path) -> None:
    there = converted(tmp_path, CONF, "a.conf")
    back = converted(tmp_path, there, "b.polar")

    comparison = compare(compiled(CONF, "a.conf"), compiled(back, "b.conf"))
    assert (comparison.differences, comparison.unproven) == ([], [])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param(
            'allow(s: Subject, "read", p: Property) if p.image.owner = s.tenant;',
            "the rules about properties ask for `property.image.owner`, `subject.tenant`",
            id="a rule about the image",
        ),
        pytest.param(
            'allow(s: Subject, "read", _p: Property) if s.has_role("a");',
            'wider: read on Property\n  a subject through a service with role "a" may now read',
            id="a role that must be the user's own",
        ),
        pytest.param(
            'allow(_s: Subject, "read", p: Property) if p.name = "a\\rb";',
            "the name `a\\x0db` cannot stand in the head of a section",
            id="a name that would end its line",
        ),
        pytest.param(
            'allow(s: Subject, "read", _p: Property) if s.has_role("a\\rb") or s.has_service_role("a\\rb");',
            "the role `a\\x0db` cannot be written",
            id="a role that would end its line",
        ),
        pytest.param(
            'allow(s: Subject, "read", _p: Property) if s.has_role("a") and s.has_role("b");',
            "narrower: read on Property",
            id="two roles at once",
        ),
    ],
)
def test_what_a_protection_file_cannot_say_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, said: str
) -> None:
    assert convert(tmp_path, rule, "mine.polar") == (1, "")
    error = capsys.readouterr().err
    assert said in error
    assert "not converted" in error


def test_a_file_is_overwritten_only_when_that_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "a.conf", tmp_path / "b.polar"
    source.write_text(CONF)
    output.write_text("mine")

    assert main(["convert", str(source), "-o", str(output)]) == 2
    assert output.read_text() == "mine"
    assert "overwrite it with --force" in capsys.readouterr().err
    assert main(["convert", str(source), "-o", str(output), "--force"]) == 0
    assert output.read_text() != "mine"


def test_what_is_converted_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, link = tmp_path / "a.conf", tmp_path / "link.polar"
    source.write_text(CONF)
    link.symlink_to(source)

    for output in (source, link):
        assert main(["convert", str(source), "-o", str(output), "--force"]) == 2
        assert "is what is converted" in capsys.readouterr().err
    assert source.read_text() == CONF
    assert main(["convert", str(source), "-o", str(tmp_path / "b.polar"), "--force"]) == 0


def test_a_link_stays_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, link = tmp_path / "a.conf", tmp_path / "link.polar"
    source.write_text(CONF)
    link.symlink_to("new.polar")

    assert main(["convert", str(source), "-o", str(link)]) == 2
    assert "overwrite it with --force" in capsys.readouterr().err
    assert main(["convert", str(source), "-o", str(link), "--force"]) == 0
    assert link.is_symlink()
    assert "section_1" in (tmp_path / "new.polar").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.conf"], "`gone.conf` does not exist"),
        (["a.conf", "--to", "conf"], "a protection file is converted to `polar`"),
        (["a.conf", "b.yaml"], "different languages"),
        (["a.conf", "-o", ""], "the name of the file is empty"),
    ],
)
def test_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.conf").write_text(CONF)
    Path("b.yaml").write_text(YAML)

    assert main(["convert", *arguments]) == 2
    assert said in capsys.readouterr().err
