"""Brute force: random protection files and requests, answered by Glance's own code and by ours."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from protect import Image, Policy, PolicyError, Property, Query, Subject
from protect.loading import Sources, compile_sources
from protect.protections.glance_rules import GLANCE_RULES
from protect.protections.sections import OPERATIONS, RESERVED, Format

ROOT = Path(__file__).parents[1]
PYTHON = Path(os.environ.get("PROTECT_GLANCE_ENV", ROOT / ".venv-glance")) / "bin" / "python"
SCRIPT = Path(__file__).parent / "glance" / "protection_answers.py"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no Glance environment: set PROTECT_GLANCE_ENV")

SEEDS = range(5)
FILES_PER_SEED = 150
QUESTIONS_PER_FILE = 40

PATTERNS = (
    *("kernel_id", "^kernel_id$", "^x_", "_id$", ".*", "^hw_.*", "^$", "a|b", "(x|y)_[0-9]+", r"\d", r"^\w+$", r"x\.y"),
    *(
        "(?i)KERNEL",
        "x_foo_*",
        "[^a-z]",
        r"(k)\1",
        r"\bid\b",
        "os_glance",
        "^os_glance",
        "os_glance.*",
        "my_",
        "é",
        ".",
    ),
    *("*foo", "(", "[a", "a{2,1}"),
)
NAMES = (
    *(
        "kernel_id",
        "my_kernel_id",
        "kernel_id\n",
        "KERNEL_ID",
        "x_foo",
        "x_foo__",
        "xy",
        "x.y",
        "x_1",
        "hw_cpu",
        "",
        "b",
    ),
    *("os_glance_x", "os_glance", "my_os_glance", "é", "٣", "kk", "id", "my id", "zzz", "OS_GLANCE", "a\nb"),
)
ROLE_LISTS = (
    *(
        "admin",
        "member",
        "Member, admin",
        "@",
        "!",
        "admin,member ,reader",
        "ADMIN",
        "service",
        "Service,admin",
        "reader",
    ),
    *("", "admin # member", "member and admin", "!member", "admin,!", "@,admin", "admin,,member", "%(read)s", "a%%b"),
    *("admin,\n  member", "\n  reader", "member\n  admin", "admin\n\n  ,reader"),
    *("@,!", "100%", "%(gone)s", "%(create)s"),
)
RULES = {
    "admins": "role:admin",
    "members": "role:MEMBER or rule:admins",
    "outsiders": "not role:member",
    "all": "",
    "everybody": "@",
    "nobody": "!",
    "owner": "project_id:%(owner)s",
    "stranger": "not project_id:%(owner)s and role:member",
    "public": "'public':%(visibility)s or (role:admin and not 'raw':%(disk_format)s)",
    "linux": "'linux':%(os_type)s and user_id:u",
    "big": "8:%(min_ram)s",
    "locked": "True:%(protected)s or False:%(os_hidden)s",
    "listed": "'admin':x or roles:admin or service_roles:service",
    "shared": "project_id:%(member_id)s",
    "fixed": "project_id:t1 and not user_id:v",
    "mixed": "role:reader and role:member or role:admin and (role:service or not role:reader)",
}
RULE_NAMES = (*RULES, "context_is_admin", "modify_image", "get_image", "add_image", "service_api", "metadef_admin")
RULE_VALUES = (*RULE_NAMES, "@", "!", "", "members,admins", "nosuch")
IMAGE = Image("i", "t1", "public", "active", "n", "qcow2", "bare", min_ram=8, properties={"os_type": "linux"})
TARGET = {
    **{"owner": "t1", "project_id": "t1", "visibility": "public", "status": "active", "name": "n"},
    **{"disk_format": "qcow2", "min_ram": 8, "protected": False, "os_hidden": False, "os_type": "linux"},
}


def file(random: random.Random, values: tuple[str, ...]) -> str:
    """A protection file; three in four can be loaded."""
    sound = random.random() < 0.75
    patterns = random.sample(PATTERNS[:-4] if sound else PATTERNS, random.randint(0, 6))
    usable = values[:-4] if sound and "100%" in values else values
    lines = ["# written by a test", ""]
    if random.random() < 0.1:
        lines += ["[DEFAULT]", *(f"{operation} = {random.choice(usable)}" for operation in OPERATIONS[:2])]
    for pattern in patterns:
        lines.append(f"[{pattern}]{random.choice(['', '', '  ', ' ; why'])}")
        for operation in random.sample(OPERATIONS, 4):
            key = random.choice([operation, operation.upper()])
            lines.append(f"{key}{random.choice([' = ', '=', ': '])}{random.choice(usable)}")
        if random.random() < 0.1:
            lines.append("unknown = x")
    if not sound and random.random() < 0.7:
        lines = broken(random, lines)
    return random.choice(["\n", "\n", "\n", "\r\n"]).join(lines) + "\n"


def broken(random: random.Random, lines: list[str]) -> list[str]:
    index = random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            return lines[:index] + lines[index + 1 :]
        case 1:
            return [*lines[:index], lines[index], *lines[index:]]
        case 2:
            return ["\ufeff" + lines[0], *lines[1:]]
        case 3:
            return ["create = @", *lines]
        case 4:
            return [*lines[:index], "  " + lines[index], *lines[index + 1 :]]
        case _:
            return [*lines[:index], "no sign", *lines[index:]]


def questions(random: random.Random) -> list[tuple[list[str], list[str], str, str]]:
    def some(*roles: str) -> list[str]:
        return [role for role in roles if random.random() < 0.4]

    return [
        (
            some("admin", "Member", "reader", "service", "member and admin"),
            some("service", "Service", "admin", "MEMBER") if random.random() < 0.4 else [],
            random.choice(NAMES),
            random.choice(OPERATIONS),
        )
        for _ in range(QUESTIONS_PER_FILE)
    ]


def load(form: str, text: str) -> Policy | None:
    rules = json.dumps(RULES).encode() if form == "policies" else b"{}"
    sources = Sources((("p.conf", text.encode()),), format=Format(form), rules=("policy.yaml", rules))
    try:
        return compile_sources(sources)
    except PolicyError as error:
        assert all(problem.line or "oslo" in problem.message for problem in error.problems), str(error)
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_ours_answers_what_glances_own_code_answers(seed: int) -> None:
    chance = random.Random(seed)
    files = []
    for _ in range(FILES_PER_SEED):
        form = chance.choice(["roles", "roles", "policies"])
        files.append((form, file(chance, ROLE_LISTS if form == "roles" else RULE_VALUES), questions(chance)))
    asked = json.dumps({"rules": RULES, "image": TARGET, "files": files})
    ran = subprocess.run([PYTHON, SCRIPT], input=asked, capture_output=True, text=True, timeout=300, cwd="/")
    assert ran.returncode == 0, ran.stderr[-2000:]

    differences: Counter[str] = Counter()
    allowed = 0
    for (form, text, asked_of_it), answers in zip(files, json.loads(ran.stdout), strict=True):
        policy = load(form, text)
        if policy is None:
            undefined = form == "policies" and "nosuch" in text
            assert answers is None or undefined, f"only Glance loads this:\n{text}"
            differences["an unknown rule is open to everybody there"] += answers is not None
            continue
        assert answers is not None, f"only we load this:\n{text}"
        for (roles, service_roles, name, operation), (plain, seeing) in zip(asked_of_it, answers, strict=True):
            subject = Subject("u", "t1", roles=frozenset(roles), service_roles=frozenset(service_roles))
            query = Query(subject, operation, Property(name, IMAGE, "v"))
            ours = policy.decide(query)
            assert not ours.error
            allowed += ours.allowed
            if ours.allowed == seeing:
                differences["rules see nothing there"] += plain != seeing
                continue
            differences[difference(policy, query, service_roles, seeing, text)] += 1
    assert allowed > 500
    assert {key for key, count in differences.items() if count} == {
        "an unknown rule is open to everybody there",
        "rules see nothing there",
        "any name with os_glance in it is open there",
        "service roles compare with case there",
    }


def difference(policy: Policy, query: Query, service_roles: list[str], glance: bool, text: str) -> str:
    """Name why Glance answers otherwise, or fail."""
    name = query.resource.name  # type: ignore[union-attr]
    if RESERVED in name and not name.startswith(RESERVED):
        assert glance
        return "any name with os_glance in it is open there"
    lowered = replace(query.subject, service_roles=frozenset(role for role in service_roles if role.islower()))
    assert policy.decide(query._replace(subject=lowered)).allowed == glance, f"{query}\n{text}"
    return "service roles compare with case there"


def test_the_table_of_rules_is_glances_own() -> None:
    program = (
        "import json; from glance import policies; "
        "print(json.dumps({rule.name: rule.check_str for rule in policies.list_rules()}))"
    )
    ran = subprocess.run([PYTHON, "-c", program], capture_output=True, text=True, timeout=120, cwd="/", check=True)
    assert json.loads(ran.stdout) == GLANCE_RULES
