"""`decide` against oslo.policy and plain Oso on Glance's `get_image` rule, and its growth with the names."""

from __future__ import annotations

from oslo_config import cfg
from oslo_policy import policy as oslo

from protect import Image, Policy, Property, Query, Subject
from protect.polar.compiler import compile_policy
from tests.bench.timing import line, rounds
from tests.plain_oso import PlainImage, PlainOso, PlainSubject

RULE = """
allow(subject: Subject, "get_image", _image: Image) if subject.has_role("admin");
allow(subject: Subject, "get_image", image: Image) if subject.has_role("reader") and visible(subject, image);
visible(subject, image) if image.owner = subject.tenant;
visible(subject, image) if image.shared_with(subject);
visible(_subject, image) if image.visibility in ["community", "public", "shared"];
"""
OSLO = (
    "role:admin or (role:reader and (project_id:%(project_id)s or project_id:%(member_id)s "
    "or 'community':%(visibility)s or 'public':%(visibility)s or 'shared':%(visibility)s))"
)
NAMES = (10, 100, 1_000, 10_000)


def compare() -> None:
    """Print how many times faster `decide` is than each alternative, for an allowance and a denial."""
    policy = compile_policy([("get_image.polar", RULE)], "bench")
    plain = PlainOso(RULE)
    enforcer = oslo.Enforcer(cfg.ConfigOpts(), use_conf=False, rules=oslo.Rules.from_dict({"get_image": OSLO}))
    subject = Subject("u", tenant="t", roles=frozenset({"member", "reader"}))
    credentials = {"user_id": "u", "project_id": "t", "roles": ["member", "reader"]}
    print("one decision of Glance's `get_image` (microseconds of processor time):")
    for case, owner, visibility in (("owner, allowed", "t", "private"), ("stranger, denied", "o", "private")):
        image = Image("i", owner=owner, visibility=visibility)
        query = Query(subject, "get_image", image)
        target = {"project_id": owner, "owner": owner, "visibility": visibility, "member_id": "m"}
        expected = owner == "t"
        assert policy.decide(query).allowed is expected
        assert enforcer.enforce("get_image", dict(target), credentials) is expected
        oso, who, what = plain.oso, PlainSubject(subject), PlainImage(image)
        assert oso.is_allowed(who, "get_image", what) is expected
        times = rounds(
            {
                "protect": (lambda query=query: policy.decide(query), 5_000),
                "oslo.policy": (lambda target=target: enforcer.enforce("get_image", target, credentials), 100),
                "plain Oso": (lambda oso=oso, who=who, what=what: oso.is_allowed(who, "get_image", what), 100),
            }
        )
        for name, seconds in times.items():
            ratio = seconds / times["protect"]
            line(f"{case}: {name}", seconds * 1e6, "us", f"{ratio:6.0f} times protect" if name != "protect" else "")


def flat() -> None:
    """Print the time of a decision about a property with more and more protected names."""
    print("one decision about a property, by the number of protected names:")
    subject = Subject("u", tenant="t", roles=frozenset({"member"}))
    image = Image("i", owner="t")
    candidates = {}
    for count in NAMES:
        facts = "".join(f'magic("name_{index}");\n' for index in range(count))
        policy = compile_policy(
            [
                (
                    "names.polar",
                    facts
                    + 'allow(s: Subject, "update", p: Property) if magic(p.name) and s.has_service_role("service");\n'
                    + 'allow(s: Subject, "update", p: Property) if not magic(p.name) and p.image.owner = s.tenant;\n',
                )
            ],
            "bench",
        )
        for kind, name, expected in (("protected", f"name_{count // 2}", False), ("other", "os_distro", True)):
            query = Query(subject, "update", Property(name, image, "x"))
            assert policy.decide(query).allowed is expected
            candidates[f"{kind:<10}{count:>7,} names"] = (lambda p=policy, q=query: p.decide(q), 5_000)
    times = rounds(candidates)
    for name, seconds in times.items():
        first = times[next(other for other in times if other.split()[0] == name.split()[0])]
        line(name, seconds * 1e6, "us", f"{seconds / first:6.2f} times the first")


def main() -> None:
    """Run all."""
    compare()
    flat()
    policy = Policy.load()
    subject = Subject("u", tenant="t", roles=frozenset({"member", "reader"}))
    query = Query(subject, "update", Property("kernel_id", Image("i", owner="t"), "x"))
    print("the shipped rules:")
    times = rounds({"`update` of kernel_id by the owner, refused": (lambda: policy.decide(query), 5_000)})
    for name, seconds in times.items():
        line(name, seconds * 1e6, "us")


if __name__ == "__main__":
    main()
