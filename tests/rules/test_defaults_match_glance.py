"""The shipped rules against Glance's own policy: every action, every kind of subject and resource."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protect.policy import Policy
from protect.values import AnyResource, Image, Location, Member, Metadef, Query, Store, Subject, Task

ROOT = Path(__file__).parents[2]
GLANCE = Path(os.environ.get("PROTECT_GLANCE_ENV", ROOT / ".venv-glance"))

pytestmark = pytest.mark.skipif(
    not (GLANCE / "bin" / "python").exists(), reason="no Glance environment: set PROTECT_GLANCE_ENV"
)

HELPERS = {"default", "context_is_admin", "service_api", "metadef_default", "metadef_admin"}

ROLES = [
    (),
    ("reader",),
    ("member",),
    ("member", "reader"),
    ("admin",),
    ("ADMIN",),
    ("Reader", "Member"),
    ("service",),
]
TENANTS = ["ours", None]
OWNERS = ["ours", "theirs", None]
VISIBILITIES = ["private", "shared", "community", "public"]
MEMBERSHIPS = [None, "accepted", "pending", "rejected"]
SERVICE_ROLES = [(), ("service",), ("admin",)]

ON_IMAGES = [
    "add_image",
    "get_image",
    "modify_image",
    "delete_image",
    "upload_image",
    "communitize_image",
    "deactivate",
    "reactivate",
    "publicize_image",
    "copy_image",
    "download_image",
    "download_from_store",
    "get_members",
    "get_image_location",
    "set_image_location",
    "delete_image_location",
    "add_image_location",
    "fetch_image_location",
]
ON_LOCATIONS = [
    "get_image_location",
    "set_image_location",
    "delete_image_location",
    "add_image_location",
    "fetch_image_location",
]
ON_MEMBERS = ["get_member", "add_member", "modify_member", "delete_member"]
ON_METADEFS = [
    "get_metadef_namespaces",
    "get_metadef_namespace",
    "get_metadef_object",
    "get_metadef_objects",
    "get_metadef_property",
    "get_metadef_properties",
    "get_metadef_tag",
    "get_metadef_tags",
    "get_metadef_resource_type",
    "list_metadef_resource_types",
    "add_metadef_namespace",
    "modify_metadef_namespace",
    "delete_metadef_namespace",
    "add_metadef_object",
    "modify_metadef_object",
    "delete_metadef_object",
    "add_metadef_property",
    "modify_metadef_property",
    "remove_metadef_property",
    "add_metadef_tag",
    "add_metadef_tags",
    "modify_metadef_tag",
    "delete_metadef_tag",
    "delete_metadef_tags",
    "add_metadef_resource_type_association",
    "remove_metadef_resource_type_association",
]
ON_TASKS = ["tasks_api_access", "get_task", "get_tasks", "add_task", "modify_task"]
ON_STORES = [
    "stores_info_detail",
    "manage_image_cache",
    "list_cached_nodes",
    "cache_image",
    "cache_list",
    "cache_delete",
    "cache_clean",
    "cache_prune",
]
BETWEEN_SERVICES = ("add_image_location", "fetch_image_location", "stores_info_detail")
OPEN_TO_ALL = {
    "get_image",
    "download_image",
    "download_from_store",
    *(action for action in ON_METADEFS if action.startswith(("get_", "list_")) and action != "get_metadef_namespaces"),
}


@dataclass(frozen=True)
class Case:
    """One question, as ours and as Glance's: ``target`` is what Glance's API layer builds for it."""

    action: str
    subject: Subject
    resource: AnyResource
    target: dict[str, str | None]

    @property
    def image(self) -> Image | None:
        return self.resource if isinstance(self.resource, Image) else getattr(self.resource, "image", None)


@dataclass(frozen=True)
class Difference:
    """Where we mean to answer otherwise than Glance's policy alone: when, what we answer, and why."""

    name: str
    applies: Callable[[Case], bool]
    ours: bool
    reason: str


def membership(case: Case) -> str | None:
    image, tenant = case.image, case.subject.tenant
    return image.members.get(tenant) if image is not None and tenant is not None else None


def visibility(case: Case) -> str | None:
    return getattr(case.image or case.resource, "visibility", None)


def is_service(case: Case) -> bool:
    return "service" in case.subject.roles | case.subject.service_roles


def is_admin(case: Case) -> bool:
    return "admin" in case.subject.roles


DIFFERENCES = [
    Difference(
        "an image shared with somebody else is not visible",
        lambda case: (
            case.action in ("get_image", "download_image", "download_from_store", "get_members")
            and not is_admin(case)
            and case.image is not None
            and case.image.visibility == "shared"
            and case.image.owner != case.subject.tenant
            and membership(case) is None
        ),
        ours=False,
        reason="Glance's policy lets everyone pass here and leaves it to its database to hide the image",
    ),
    Difference(
        "nothing equals nothing",
        lambda case: (
            case.subject.tenant is None
            and case.action != "get_images"
            and None in case.target.values()
            and not is_admin(case)
            and not (case.action in BETWEEN_SERVICES and is_service(case))
            and not (case.action in OPEN_TO_ALL and visibility(case) in ("public", "community"))
        ),
        ours=False,
        reason="to Glance's policy no tenant owns whatever has no owner: both are the text None",
    ),
    Difference(
        "a member answers for itself only",
        lambda case: (
            case.action in ("get_member", "modify_member")
            and isinstance(case.resource, Member)
            and not is_admin(case)
            and case.resource.tenant != case.subject.tenant
            and (case.action == "modify_member" or case.resource.image.owner != case.subject.tenant)
        ),
        ours=False,
        reason="Glance's policy asks about the image alone and leaves the row to its database",
    ),
    Difference(
        "a membership is a member's whatever the image's visibility is",
        lambda case: (
            case.action in ("get_member", "modify_member")
            and isinstance(case.resource, Member)
            and case.resource.tenant == case.subject.tenant
            and (visibility(case) != "shared" or case.resource.image.owner == case.subject.tenant)
            and ("reader" if case.action == "get_member" else "member") in case.subject.roles
        ),
        ours=True,
        reason="Glance refuses member calls on an image that is not shared before it asks",
    ),
    Difference(
        "tasks are their owner's",
        lambda case: (
            case.action in ("get_task", "get_tasks", "add_task", "modify_task")
            and isinstance(case.resource, Task)
            and not is_admin(case)
            and (case.subject.tenant is None or case.resource.owner != case.subject.tenant)
        ),
        ours=False,
        reason="Glance does not ask these rules any more, and leaves them open",
    ),
    Difference(
        "a service's own role counts in the calls between services",
        lambda case: case.action in BETWEEN_SERVICES and "service" in case.subject.service_roles,
        ours=True,
        reason="Glance wants the role in the user's token; a service token is harder to come by",
    ),
]


def subjects() -> Iterator[Subject]:
    for roles, tenant, service_roles in itertools.product(ROLES, TENANTS, SERVICE_ROLES):
        yield Subject("u", tenant, roles=frozenset(roles), service_roles=frozenset(service_roles))


def images() -> Iterator[Image]:
    for owner, visibility, status in itertools.product(OWNERS, VISIBILITIES, MEMBERSHIPS):
        yield Image("i", owner, visibility, members={"ours": status} if status else {})


def image_target(subject: Subject, image: Image) -> dict[str, str | None]:
    # As in Glance: when a shared image is not its own, the database has let it through as a member.
    found_as_member = image.visibility == "shared" and image.owner != subject.tenant
    return {
        "project_id": image.owner,
        "owner": image.owner,
        "visibility": image.visibility,
        "member_id": subject.tenant if found_as_member else None,
    }


def image_cases() -> Iterator[Case]:
    for subject, image in itertools.product(subjects(), images()):
        target = image_target(subject, image)
        for action in ON_IMAGES:
            yield Case(action, subject, image, target)
        for action in ON_LOCATIONS:
            yield Case(action, subject, Location(image, "file:///a", "file"), target)
        for action, row in itertools.product(ON_MEMBERS, ("ours", "others")):
            yield Case(action, subject, Member(row, image, "pending"), target)


def collection_cases() -> Iterator[Case]:
    for subject in subjects():
        yield Case("get_images", subject, Image(owner=subject.tenant), {"project_id": subject.tenant})
        for action, owner in itertools.product(ON_TASKS, OWNERS):
            yield Case(action, subject, Task(owner=owner), {})
        for action in ON_STORES:
            yield Case(action, subject, Store(), {})
        for action, owner, visibility in itertools.product(ON_METADEFS, OWNERS, ("private", "public")):
            target = {"project_id": owner, "visibility": visibility}
            yield Case(action, subject, Metadef(owner=owner, visibility=visibility), target)
        for action in ("get_metadef_namespaces", "list_metadef_resource_types", "add_metadef_namespace"):
            yield Case(action, subject, Metadef(owner=subject.tenant), {"project_id": subject.tenant})


CASES = [*image_cases(), *collection_cases()]


@dataclass(frozen=True)
class Answers:
    glance: list[bool]
    ours: list[bool]
    rules: dict[str, str]


def as_glance_hears_it(case: Case) -> str:
    credentials = {
        "user_id": case.subject.id,
        "project_id": case.subject.tenant,
        "roles": sorted(case.subject.roles),
        "service_roles": sorted(case.subject.service_roles),
    }
    return json.dumps([case.action, credentials, case.target], sort_keys=True)


@pytest.fixture(scope="module")
def answers() -> Answers:
    heard = [as_glance_hears_it(case) for case in CASES]
    questions = sorted(set(heard))
    run = subprocess.run(
        [GLANCE / "bin" / "python", Path(__file__).with_name("glance_answers.py")],
        input=f"[{','.join(questions)}]", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    reply = json.loads(run.stdout)
    glance = dict(zip(questions, reply["answers"], strict=True))
    policy = Policy.load()
    ours = [policy.decide(Query(case.subject, case.action, case.resource)) for case in CASES]
    assert not [decision.reason for decision in ours if decision.error]
    return Answers([glance[each] for each in heard], [decision.allowed for decision in ours], reply["rules"])


def test_every_action_of_glance_is_asked(answers: Answers) -> None:
    assert {case.action for case in CASES} == set(answers.rules) - HELPERS


def test_every_action_is_allowed_to_some_and_refused_to_others(answers: Answers) -> None:
    seen = {(case.action, ours) for case, ours in zip(CASES, answers.ours, strict=True)}

    assert seen == {(case.action, ours) for case in CASES for ours in (True, False)}


@pytest.mark.parametrize("action", sorted({case.action for case in CASES}))
def test_answers_are_glance_s_but_for_the_named_differences(answers: Answers, action: str) -> None:
    wrong = []
    for case, glance, ours in zip(CASES, answers.glance, answers.ours, strict=True):
        if case.action != action:
            continue
        meant = {difference.ours for difference in DIFFERENCES if difference.applies(case)} or {glance}
        if meant != {ours}:
            wrong.append((case, f"glance {glance}, ours {ours}", meant))

    assert not wrong, f"{len(wrong)} of them, such as {wrong[0]}"


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_every_difference_is_one(answers: Answers, difference: Difference) -> None:
    assert any(
        glance != ours == difference.ours and difference.applies(case)
        for case, glance, ours in zip(CASES, answers.glance, answers.ours, strict=True)
    )
