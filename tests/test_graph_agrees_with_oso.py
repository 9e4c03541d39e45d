"""Brute force: for random policies and random requests, the graph answers what plain Oso answers on plain objects."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from protect.errors import PolicyError
from protect.polar import compiler
from protect.policy import Policy
from protect.policy.saved import read_saved, save
from protect.values import Image, Location, Member, Metadef, Property, Query, Resource, Store, Subject, Task
from tests.plain_oso import PlainOso

EXAMPLES = 10_000 if os.environ.get("PROTECT_EXHAUSTIVE") else 150

TEXTS = ("a", "b", "hw_x", "é", "Red")
ROLES = ("admin", "Member", "a", "red")
ACTIONS = ("read", "update", "a", "go")
TEXT_FACTS = {
    "Image": ("owner", "visibility", "name", "id"),
    "Member": ("tenant", "status"),
    "Location": ("url", "scheme"),
    "Task": ("id", "owner"),
    "Store": ("id",),
    "Metadef": ("owner", "type", "namespace"),
    "Resource": ("type", "id"),
}
WITH_IMAGE = ("Property", "Member", "Location")
KINDS = ("Image", "Property", "Member", "Location", "Task", "Store", "Metadef", "Resource")

text = st.sampled_from(TEXTS)
quoted = text.map(lambda value: f'"{value}"')
number = st.sampled_from(("0", "1", "5", "1.0", "-2"))
scalar = st.one_of(quoted, number, st.sampled_from(("true", "false")))


@st.composite
def conditions(draw: Callable, kind: str, depth: int = 0, *, bound: tuple[str, ...] = ()) -> str:
    """A condition over ``s`` (the subject), ``r`` (a resource of ``kind``) and texts bound to variables."""
    if depth < 3 and draw(st.booleans()):
        inner = conditions(kind, depth + 1, bound=bound)
        match draw(st.sampled_from(("and", "or", "not", "forall", "any"))):
            case "not":
                return f"not ({draw(inner)})"
            case "forall":
                name = f"x{depth}"
                items = ", ".join(draw(st.lists(quoted, min_size=1, max_size=3)))
                body = draw(conditions(kind, depth + 1, bound=(*bound, name)))
                return (
                    f"forall({name} in [{items}], ({body}) or {name} = {name})"
                    if draw(st.booleans())
                    else (f"forall({name} in [{items}], {name} = {name} and ({body}))")
                )
            case "any":
                name = f"y{depth}"
                items = ", ".join(draw(st.lists(quoted, min_size=1, max_size=3)))
                body = draw(conditions(kind, depth + 1, bound=(*bound, name)))
                # Bound by a list or by facts: either way the texts may be twins, explored once for all.
                binding = draw(st.sampled_from((f"{name} in [{items}]", f"listed({name})", f'pair({name}, "a")')))
                return f"({binding} and {name} = {name} and ({body}))"
            case operator:
                return f"(({draw(inner)}) {operator} ({draw(inner)}))"
    return draw(atoms(kind, bound))


@st.composite
def atoms(draw: Callable, kind: str, bound: tuple[str, ...]) -> str:
    variable, fact_kind = "r", kind
    if kind in WITH_IMAGE and draw(st.booleans()):
        variable, fact_kind = "r.image", "Image"
    some = st.one_of(quoted, st.sampled_from(bound)) if bound else quoted
    choices = [
        st.sampled_from(("s.authenticated", "s.admin_project", "s.authenticated = true", "not s.admin_project")),
        st.sampled_from(ROLES).map(lambda role: f's.has_role("{role}")'),
        st.sampled_from(ROLES).map(lambda role: f's.has_service_role("{role}")'),
        some.map(lambda value: f"s.has_role({value})"),
        some.map(lambda value: f"s.tenant = {value}"),
        some.map(lambda value: f"s.get({value}) = true"),
        st.tuples(st.sampled_from(("=", "!=", "==")), scalar).map(lambda pair: f's.get("c") {pair[0]} {pair[1]}'),
        scalar.map(lambda value: f'context.get("v") = {value}'),
        number.map(lambda value: f'context.get("v") >= {value}'),
        some.map(lambda value: f's.id in [{value}, "b"]'),
        some.map(lambda value: f"listed({value})"),
        st.just("listed(s.tenant)"),
        st.just("helper(s, r)"),
        st.just("not helper(s, r)"),
    ]
    if kind == "Property":
        choices += [
            some.map(lambda value: f"r.name = {value}"),
            some.map(lambda value: f"not r.name = {value}"),
            st.sampled_from(("listed(r.name)", "not listed(r.name)", 'pair(r.name, "a")', "pair(r.name, s.tenant)")),
            st.sampled_from(('r.name in ["a", "b"]', 'r.name in ["hw_x", "é", "a"]')),
            st.sampled_from(("^hw_", "a|b", "(?i)A", ".")).map(lambda pattern: f'r.matches("{pattern}")'),
            scalar.map(lambda value: f"r.value = {value}"),
            st.just("r.value > 1"),
            st.sampled_from(("r.core", "not r.core", "r.core = true", "r.core = s.authenticated")),
            st.sampled_from(("r.value = s.tenant", "r.name = s.tenant", "r.name = r.image.name", "s.has_role(r.name)")),
            st.sampled_from(("r.image.has_tag(r.name)", "r.image.has_property(r.name)", "n = r.name and n = s.id")),
        ]
    if fact_kind == "Image":
        choices += [
            number.map(lambda value: f"{variable}.size > {value}"),
            number.map(lambda value: f"{variable}.min_ram <= {value}"),
            number.map(lambda value: f"{value} < {variable}.min_disk"),
            st.sampled_from(("size < min_disk", "min_ram >= size")).map(
                lambda pair: f"{variable}.{pair.split()[0]} {pair.split()[1]} {variable}.{pair.split()[2]}"
            ),
            st.sampled_from(("protected", "hidden", "protected = false")).map(lambda name: f"{variable}.{name}"),
            some.map(lambda value: f"{variable}.has_tag({value})"),
            some.map(lambda value: f"{variable}.has_property({value})"),
            scalar.map(lambda value: f'{variable}.get("p") = {value}'),
            st.just(f'{variable}.get("p") = {variable}.get("q")'),
            st.just(f'{variable}.get("p") < {variable}.size'),
            st.just(f'{variable}.get("p") = s.tenant'),
            st.just(f's.has_role({variable}.get("q"))'),
            st.just(f"{variable}.shared_with(s)"),
            st.sampled_from(("pending", "rejected")).map(lambda status: f'{variable}.shared_with(s, "{status}")'),
            quoted.map(lambda value: f"{variable} matches Image{{owner: {value}}}"),
            st.just(f"o = {variable}.owner and o = s.tenant"),
        ]
    if fact_kind in TEXT_FACTS:
        field = st.sampled_from(TEXT_FACTS[fact_kind])
        choices += [
            st.tuples(field, some).map(lambda pair: f"{variable}.{pair[0]} = {pair[1]}"),
            st.tuples(field, st.sampled_from(("=", "!="))).map(lambda pair: f"{variable}.{pair[0]} {pair[1]} s.tenant"),
            field.map(lambda name: f'{variable}.{name} in ["a", "b", "é"]'),
            field.map(lambda name: f"listed({variable}.{name})"),
            field.map(lambda name: f"not listed({variable}.{name})"),
            field.map(lambda name: f"{variable}.{name} = {variable}.{name}"),
        ]
    if kind in ("Location", "Task", "Store", "Metadef", "Resource"):
        choices.append(scalar.map(lambda value: f'r.get("p") = {value}'))
    return draw(st.one_of(choices))


ABOUT_NAMES = (
    "action = r.name",
    "not action = r.name",
    "tell(r.name)",
    "tell(action) and tell(r.name)",
    "alike(action, r.name)",
    "named(r, action)",
    "named(r, n) and n in [action, s.tenant]",
    "[action] = [r.name]",
    "r matches Property{name: action}",
    'allow(s, r.name, r.image) and action in ["read", "a"]',
)


def rule(entry: str, action: str, head: str, body: str) -> str:
    """A rule whose variables are named as they are used, so that none counts as misspelt."""
    used = Counter(re.findall(r"\b[a-z]+\b", re.sub(r'"[^"]*"', "", f"{head} {body}")))
    subject, resource = ("s" if used["s"] else "_s"), ("r" if used["r"] else "_r")
    if action == "action" and not used["action"]:
        action = "_action"
    return f"{entry}({subject}: Subject, {action}, {resource}{head}) if {body};"


@st.composite
def policies(draw: Callable, kind: str) -> str:
    rules = []
    entries = ["allow", *draw(st.lists(st.sampled_from(("allow", "allow", "forbid", "discard")), max_size=4))]
    for entry in entries:
        if entry == "discard" and kind != "Property":
            entry = "forbid"
        action = draw(st.sampled_from(('"read"', '"update"', '"a"', "action", "action", "_action")))
        head = draw(st.sampled_from((f": {kind}", f": {kind}", f": {kind}", "")))
        # Without a type in the head, a rule is about every resource: it can ask about the subject only.
        body = (
            draw(conditions(kind)) if head else draw(st.sampled_from(ROLES).map(lambda role: f's.has_role("{role}")'))
        )
        if action == "action":
            picked = draw(
                st.sampled_from(
                    (
                        'action in ["read", "update"]',
                        'not action = "read"',
                        'action = "a"',
                        "action = action",
                        "action = s.tenant",
                        "listed(action)",
                        "listed(v) and v = s.tenant and not v = action",
                        "s.has_role(action)",
                        "tell(action)",
                        'action in ["a", "go"] and tell(action)',
                        *(ABOUT_NAMES if kind == "Property" and head else ()),
                    )
                )
            )
            body = f"{picked} and ({body})"
        if kind == "Property" and head and draw(st.integers(0, 5)) == 0:
            head = draw(
                st.sampled_from((": Property{name: action}", ': Property{name: "a"}', ": Property{name: s.id}"))
            )
            action = "action" if "action" in head + body else action
        rules.append(rule(entry, action, head, body))
    for name in draw(st.lists(text, max_size=4)):
        rules.append(f'listed("{name}");')
    rules.append('listed("z");')
    for left, right in draw(st.lists(st.tuples(text, text), max_size=3)):
        rules.append(f'pair("{left}", "{right}");')
    rules.append('pair("z", "z");')
    rules.append('tell("a"); tell(x) if x in ["read", "b"];')
    rules.append("alike(x, x); named(r, x) if x = r.name;")
    for _ in range(draw(st.integers(1, 2))):
        body = draw(conditions(kind).filter(lambda body: "helper" not in body))
        rules.append(f"helper(s, r) if s = s and r = r and ({body});")
    if kind == "Image" and draw(st.booleans()):
        rules.append(
            'actor Subject {} resource Image { roles = ["owner", "friend"]; permissions = ["read", "update"]; '
            '"read" if "friend"; "update" if "owner"; "friend" if "owner"; }'
            'has_role(s: Subject, "owner", i: Image) if i.owner = s.tenant;'
            'has_role(s: Subject, "friend", i: Image) if i.shared_with(s);'
            "allow(s, action, i: Image) if has_permission(s, action, i);"
        )
    return "\n".join(rules)


maybe = st.one_of(st.none(), text)
value = st.one_of(st.none(), text, st.sampled_from((0, 1, 1.0, 5, True, False, -2)), st.just(["a"]))
size = st.one_of(st.none(), st.sampled_from((0, 1, 2, 5, 6)))
subjects = st.builds(
    Subject,
    id=maybe,
    tenant=maybe,
    roles=st.frozensets(st.sampled_from((*ROLES, "ADMIN"))),
    service_roles=st.frozensets(st.sampled_from(ROLES)),
    authenticated=st.booleans(),
    admin_project=st.booleans(),
    claims=st.dictionaries(st.sampled_from(("c", "a", "Red")), value),
)
images = st.builds(
    Image,
    id=maybe,
    owner=maybe,
    visibility=maybe,
    name=maybe,
    protected=st.booleans(),
    hidden=st.booleans(),
    size=size,
    min_disk=size,
    min_ram=size,
    tags=st.frozensets(text),
    members=st.dictionaries(text, st.sampled_from(("accepted", "pending", "rejected"))),
    properties=st.dictionaries(st.sampled_from(("p", "q", *TEXTS)), value),
)
attributes = st.dictionaries(st.just("p"), value)
resources = {
    "Image": images,
    "Property": st.builds(
        Property,
        name=st.sampled_from((*TEXTS, "z", "other", "read", "go")),
        image=images,
        value=value,
        core=st.booleans(),
    ),
    "Member": st.builds(Member, tenant=maybe, image=images, status=maybe),
    "Location": st.builds(Location, image=images, url=maybe, scheme=maybe, attributes=attributes),
    "Task": st.builds(Task, id=maybe, owner=maybe, attributes=attributes),
    "Store": st.builds(Store, id=maybe, attributes=attributes),
    "Metadef": st.builds(Metadef, type=maybe, namespace=maybe, owner=maybe, attributes=attributes),
    "Resource": st.builds(Resource, type=maybe, id=maybe, attributes=attributes),
}


def queries(kind: str) -> st.SearchStrategy[Query]:
    return st.builds(
        Query,
        subject=subjects,
        action=st.sampled_from(ACTIONS),
        resource=resources[kind],
        context=st.dictionaries(st.just("v"), value),
    )


def compare(policy: Policy, plain: PlainOso, policy_text: str, query: Query) -> None:
    """The three entry points, combined as the language says."""
    forbidden = "forbid(" in policy_text and plain.holds("forbid", query)
    allowed = not forbidden and plain.holds("allow", query)
    discarded = not allowed and "discard(" in policy_text and plain.holds("discard", query)
    decision = policy.decide(query)
    assert (decision.error, decision.allowed, decision.discard) == (False, allowed, discarded), (policy_text, query)
    explanation = policy.explain(query)
    assert explanation.decision == decision
    if allowed:
        assert explanation.rule is not None


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
@given(data=st.data())
def test_graph_answers_what_plain_oso_answers(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from((*KINDS, "Property", "Property", "Image")))
    policy_text = data.draw(policies(kind))
    # A small budget as well, so that growth on demand answers part of the time.
    budget = data.draw(st.sampled_from((None, None, 40, 0)))
    policy = compiled(policy_text, budget)
    plain = PlainOso(policy_text)
    others = [read_saved("p", save(policy))] if budget is None else []
    drawn = data.draw(st.lists(queries(kind), min_size=4, max_size=12))
    for query in drawn:
        compare(policy, plain, policy_text, query)
        decide = policy.deciding()
        for other in drawn:
            alike = query._replace(resource=other.resource)
            assert decide(alike) == policy.decide(alike)
        for saved in others:
            assert saved.decide(query) == policy.decide(query)


def compiled(policy_text: str, budget: int | None) -> Policy:
    saved = compiler.BUDGET, compiler.BUDGET_PER_GRAPH
    if budget is not None:
        compiler.BUDGET = compiler.BUDGET_PER_GRAPH = budget
    try:
        return compiler.compile_policy([("p.polar", policy_text)], "r")
    except PolicyError as error:
        raise AssertionError(f"{error}\n{policy_text}") from None
    finally:
        compiler.BUDGET, compiler.BUDGET_PER_GRAPH = saved
