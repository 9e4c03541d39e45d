"""The same protection file in Glance itself, and in our filter before a Glance without one: who answers what?

    python -m tests.glance.compare_with_native [number of requests] [seed]

Sends every request to both, compares status, body, and what an admin sees afterwards, and prints a report. Exit status
1 where a difference is none of those that are meant.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.glance.server import Glance, Reply, make_database, running_glance

PROTECTIONS = """\
[^nothing_]
create = admin
read = admin
update = admin
delete = admin

[^create_only_]
create = admin,member
read = admin
update = admin
delete = admin

[^read_only_]
create = admin
read = admin, Member, reader
update = admin
delete = admin

[^blind_]
create = admin
read = admin
update = admin,member
delete = admin,member

[^keep_]
create = admin,member
read = @
update = admin,member
delete = admin

[^closed_]
create = admin
read = @
update = !
delete = !

[^service_]
create = admin,service
read = admin,service,reader
update = admin,service
delete = admin,service

# Glance opens every name with os_glance anywhere in it.
[^x_os_glance_]
create = admin
read = admin
update = admin
delete = admin

[open_]
create = @
read = @
update = @
delete = @
"""

#: The classes of properties, and one that no section names.
KINDS = ("nothing_", "create_only_", "read_only_", "blind_", "keep_", "closed_", "service_", "x_os_glance_", "open_")
OPEN = "x_os_glance_"
STORED = tuple(f"{kind}1" for kind in KINDS)
NAMES = (*STORED, *(f"{kind}2" for kind in KINDS), "my_open_thing", "unnamed")

ADMIN = "ada:ops:admin,member,reader"
TOKENS = {
    "an admin": ADMIN,
    "the owner": "olivia:t1:member,reader",
    "the owner in capitals": "olivia:t1:MEMBER,Reader",
    "a reader": "rita:t1:reader",
    "a stranger": "sam:t2:member,reader",
    "a service for the owner": "olivia:t1:member,reader:service",
    "a service in capitals": "olivia:t1:member,reader:Service",
    "an admin's service for a reader": "rita:t1:reader:admin",
}
#: As whom Glance treats a subject with a service: its roles compare with case, and become the user's own with the first
#: look at a property. A difference must come to one of these.
TREATED_AS = {
    "a service in capitals": ("olivia:t1:member,reader",),
    "an admin's service for a reader": ("rita:t1:reader", "rita:t1:reader,admin"),
}

PATCH_2_0 = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
_VARIES = re.compile(
    r"image-\d+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)


@dataclass(frozen=True)
class Case:
    """One request: who asks, what, with which property, on an image that is shared by all or in a state of its own."""

    number: int
    who: str
    operation: str
    name: str
    other: str
    state: str
    visibility: str


@dataclass(frozen=True)
class Result:
    """What one Glance answered, and what its admin sees of the image afterwards."""

    status: int
    body: Any
    truth: Any


@dataclass(frozen=True)
class Difference:
    """A difference that is meant: when it applies to a case, Glance's result and ours."""

    name: str
    applies: Callable[[Case, Result, Result], bool]


@dataclass(frozen=True)
class Stored:
    """The image that a request is about."""

    id: str
    name: str


Send = Callable[[Glance, Case, Stored], Reply]


def patch(*changes: dict[str, Any], headers: dict[str, str] | None = None) -> Send:
    """Return what sends a PATCH; `%name` and `%other` stand for the case's properties."""

    def send(glance: Glance, case: Case, image: Stored) -> Reply:
        filled = [
            {
                key: text.replace("%name", case.name).replace("%other", case.other) if isinstance(text, str) else text
                for key, text in change.items()
            }
            for change in changes
        ]
        return glance.call("PATCH", f"/v2/images/{image.id}", TOKENS.get(case.who, case.who), filled, headers)

    return send


def call(method: str, path: str) -> Send:
    def send(glance: Glance, case: Case, image: Stored) -> Reply:
        filled = path.replace("%image", image.id).replace("%title", image.name).replace("%name", case.name)
        return glance.call(method, filled, TOKENS.get(case.who, case.who))

    return send


def post(glance: Glance, case: Case, _image: Stored) -> Reply:
    body = {case.name: "new", case.other: "other"}
    return glance.call("POST", "/v2/images", TOKENS.get(case.who, case.who), body)


OPERATIONS: dict[str, Send] = {
    "POST": post,
    "GET": call("GET", "/v2/images/%image"),
    "list": call("GET", "/v2/images?name=%title"),
    "list filtered by the value": call("GET", "/v2/images?name=%title&%name=stored"),
    "list filtered by another value": call("GET", "/v2/images?name=%title&%name=other"),
    "PATCH add": patch({"op": "add", "path": "/%name", "value": "new"}),
    "PATCH replace": patch({"op": "replace", "path": "/%name", "value": "new"}),
    "PATCH replace by the same": patch({"op": "replace", "path": "/%name", "value": "stored"}),
    "PATCH remove": patch({"op": "remove", "path": "/%name"}),
    "PATCH remove and add": patch({"op": "remove", "path": "/%name"}, {"op": "add", "path": "/%name", "value": "new"}),
    "PATCH two": patch(
        {"op": "replace", "path": "/%name", "value": "new"}, {"op": "replace", "path": "/%other", "value": "new"}
    ),
    "PATCH name": patch({"op": "replace", "path": "/name", "value": "renamed"}),
    "PATCH nothing": patch(),
    "PATCH 2.0 add": patch({"add": "/%name", "value": "new"}, headers=PATCH_2_0),
    "PATCH 2.0 replace": patch({"replace": "/%name", "value": "new"}, headers=PATCH_2_0),
    "PATCH 2.0 remove": patch({"remove": "/%name"}, headers=PATCH_2_0),
    "tag": call("PUT", "/v2/images/%image/tags/gold"),
    "deactivate": call("POST", "/v2/images/%image/actions/deactivate"),
    "DELETE": call("DELETE", "/v2/images/%image"),
}


TWO = ("POST", "PATCH two")
READS = ("GET", "list", "list filtered by the value", "list filtered by another value", "POST")


def cases(number: int, seed: int) -> list[Case]:
    """Return ``number`` cases: every operation by everybody on every property comes before the first is repeated."""
    chance = random.Random(seed)
    every = [(who, operation, name) for who in TOKENS for operation in OPERATIONS for name in NAMES]
    chosen: list[tuple[str, str, str]] = []
    while len(chosen) < number:
        chosen += chance.sample(every, len(every))
    return [
        Case(index, *one, chance.choice(NAMES), chance.choice(["queued", "active"]), visibility(chance))
        for index, one in enumerate(chosen[:number])
    ]


def visibility(chance: random.Random) -> str:
    return chance.choice(["private", "private", "shared", "community", "public"])


class Bench:
    """A Glance with the images that requests have left as they were: making one takes longer than the request."""

    def __init__(self, glance: Glance) -> None:
        self._glance = glance
        self._made = 0
        self._unused: dict[tuple[str, str], list[tuple[str, str, Any]]] = {}

    def run(self, case: Case) -> Result:
        """Take an image, send the request, and look."""
        unused = self._unused.setdefault((case.state, case.visibility), [])
        image, name, before = unused.pop() if unused else self._make(case)
        reply = OPERATIONS[case.operation](self._glance, case, Stored(image, name))
        truth = before if case.operation in READS else self._look(image)
        if truth == before:
            unused.append((image, name, before))
        return Result(reply.status, seen(reply), truth)

    def _make(self, case: Case) -> tuple[str, str, Any]:
        self._made += 1
        name = f"image-{self._made}"
        attributes = {"owner": "t1", "visibility": case.visibility, "name": name, **dict.fromkeys(STORED, "stored")}
        image = self._glance.create(ADMIN, disk_format="raw", container_format="bare", **attributes)
        if case.state == "active":
            self._glance.upload(ADMIN, image, b"data")
        return image, name, self._look(image)

    def _look(self, image: str) -> Any:
        truth = self._glance.call("GET", f"/v2/images/{image}", ADMIN)
        return seen(truth) if truth.status == 200 else truth.status


def seen(reply: Reply) -> Any:
    """Return a body without what differs from one server to the next."""
    try:
        return steady(reply.json)
    except ValueError:
        # An error page: its last line says what is wrong, the others what such a status means.
        lines = [line.strip() for line in reply.body.decode("utf-8", "replace").splitlines() if line.strip()]
        return _VARIES.sub("*", lines[-1]) if lines else ""


def steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: steady(one) for key, one in value.items()}
    if isinstance(value, list):
        return [steady(one) for one in value]
    return _VARIES.sub("*", value) if isinstance(value, str) else value


def hidden(case: Case, name: str) -> bool:
    """Whether the file hides a property from who asks, with Glance's merged and cased roles."""
    roles = set(TOKENS.get(case.who, case.who).split(":", 2)[2].lower().replace(":", ",").split(","))
    readers = {"read_only_": {"admin", "member", "reader"}, "service_": {"admin", "service", "reader"}}
    if name.startswith(("keep_", "closed_")) or "open_" in name:
        return False
    return not roles & readers.get(next((kind for kind in KINDS if name.startswith(kind)), ""), {"admin"})


def without(one: Any) -> Any:
    """Return a result without the properties that only Glance opens."""
    if isinstance(one, Result):
        return Result(one.status, without(one.body), without(one.truth))
    if isinstance(one, list):
        return [without(each) for each in one]
    return {key: without(each) for key, each in one.items() if OPEN not in key} if isinstance(one, dict) else one


def _survives(case: Case, native: Result, ours: Result) -> bool:
    # All the same, but that we keep what Glance has deleted because the writer cannot read it.
    if (native.status, native.body) != (ours.status, ours.body) or not isinstance(ours.truth, dict):
        return False
    gone = ours.truth.keys() - native.truth.keys()
    return all(hidden(case, name) for name in gone) and native.truth == {
        key: one for key, one in ours.truth.items() if key not in gone
    }


OPENED = "7: a name with os_glance anywhere in it is open to everybody in Glance"
MERGED = "3: service roles become the user's own in Glance, for the rest of the request; and they compare with case"

#: The numbers are those of docs/property-protection.md. In this order: the first that applies names the difference.
MEANT: Sequence[Difference] = (
    Difference(
        "2: a filter answers in Glance whether a hidden value is equal",
        lambda case, native, ours: case.operation.startswith("list filtered") and hidden(case, case.name),
    ),
    Difference(
        "8: adding what may be created but not read is a 500 in Glance",
        lambda case, native, ours: native.status == 500 and "add" in case.operation,
    ),
    Difference(
        "8: adding over a hidden value takes the right to create in Glance, and is not done in ours",
        lambda case, native, ours: "add" in case.operation and hidden(case, case.name) and case.name in STORED,
    ),
    Difference(
        "a PATCH without an operation is refused by ours, whoever sends it",
        lambda case, native, ours: case.operation == "PATCH nothing" and ours.status == 400,
    ),
    Difference("1: a write deletes in Glance what the writer cannot read", _survives),
    Difference(
        "both refuse: ours looks at the properties before the API looks at the action, Glance afterwards",
        lambda case, native, ours: (
            native.truth == ours.truth
            and native.status == 403
            and "not authorized to complete" in str(native.body)
            and ours.status in (403, 409)
        ),
    ),
)


@dataclass
class Report:
    """How many requests were answered alike, which differed and why, and those that nobody meant."""

    alike: int
    meant: Counter[str]
    unexplained: list[tuple[Case, Result, Result]]

    def __str__(self) -> str:
        total = self.alike + self.meant.total() + len(self.unexplained)
        lines = [f"{total} requests: {self.alike} answered alike"]
        lines += [f"  {count:5}  {name}" for name, count in sorted(self.meant.items())]
        lines += [f"{len(self.unexplained)} unexplained"]
        for case, native, ours in self.unexplained[:20]:
            lines += [str(case), f"  Glance: {describe(native, ours)}", f"  ours:   {describe(ours, native)}"]
        return "\n".join(lines)


def describe(one: Result, other: Result) -> str:
    parts = [str(one.status)]
    parts += [str(one.body)[:300]] if one.body != other.body else []
    parts += [f"afterwards {str(one.truth)[:900]}"] if one.truth != other.truth else []
    return " ".join(parts)


def explained(case: Case, native: Result, ours: Result, again: Callable[[Case], Result]) -> str | None:
    """Return the name of the difference, or None where nobody meant it. ``again`` sends another request to ours.

    What Glance does by its faults 3 and 7 must be what we do for the subject, or the name, that it takes them for.
    """
    if OPEN in case.name + (case.other if case.operation in TWO else ""):
        opened = replace(case, name=case.name.replace(OPEN, "open_"), other=case.other.replace(OPEN, "open_"))
        for who in (case.who, *TREATED_AS.get(case.who, ())):
            taken = again(replace(opened, who=who))
            if taken.status == native.status or any(meant.applies(opened, native, taken) for meant in MEANT):
                return OPENED
        return None
    # What only Glance opens shows in every body, and would hide what else differs.
    native, ours = without(native), without(ours)
    if native == ours:
        return OPENED
    for difference in MEANT:
        if difference.applies(case, native, ours):
            return difference.name
    for token in TREATED_AS.get(case.who, ()):
        taken = without(again(replace(case, who=token)))
        if taken == native or any(difference.applies(replace(case, who=token), native, taken) for difference in MEANT):
            return MERGED
    return None


def run_all(glance: Glance, wanted: Sequence[Case]) -> list[Result]:
    bench = Bench(glance)
    return [bench.run(case) for case in wanted]


def compare(native: Glance, ours: Glance, wanted: Sequence[Case]) -> Report:
    """Run all cases against both, one at a time in each: SQLite has one writer."""
    report = Report(0, Counter(), [])
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(run_all, glance, wanted) for glance in (native, ours)]
        both = zip(*(answer.result() for answer in answers), strict=True)
    again = Bench(ours)
    for case, (there, here) in zip(wanted, both, strict=True):
        if there == here:
            report.alike += 1
            continue
        why = explained(case, there, here, again.run)
        if why is None:
            report.unexplained.append((case, there, here))
        else:
            report.meant[why] += 1
    return report


def main(arguments: Sequence[str]) -> int:
    number = int(arguments[0]) if arguments else 3000
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        (top / "protections.conf").write_text(PROTECTIONS)
        database = make_database(top / "database")
        options = {"policy": str(top / "protections.conf")}
        with (
            running_glance(top / "native", database, native=PROTECTIONS) as native,
            running_glance(top / "ours", database, protect=options) as ours,
        ):
            report = compare(native, ours, cases(number, seed))
    print(report)
    return 1 if report.unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
