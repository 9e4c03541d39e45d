"""Endpoints for services that hold images themselves: what a subject may see of them, and what it may write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import orjson

from protect import json_bodies
from protect.authzen.fields import optional_object
from protect.authzen.subjects import Subjects, subject
from protect.decisions import DecisionPoint
from protect.enforcement.doors import listing
from protect.errors import MalformedRequest
from protect.glance import patches
from protect.glance import routes as api
from protect.glance.documents import Document, UnexpectedDocument
from protect.glance.paths import ApiPath, is_identifier
from protect.json_bodies import kind
from protect.service import image_schemas
from protect.service.calls import Call, Record, Reply, Route, json_reply
from protect.service.rehearsal import Find, Given, MembersOf, Rehearsal, given, rehearsal, request
from protect.service.verdicts import Judgement, judge_create, judge_patch
from protect.values import Decision, Query

OPENAPI = image_schemas.OPENAPI

V2 = "/v2"


Item = TypeVar("Item")
Clock = Callable[[], float]


def routes(
    *,
    policy: Callable[[], DecisionPoint],
    record: Record,
    subjects: Callable[[], Subjects] = dict,
    clock: Clock = time.monotonic,
) -> list[Route]:
    """Return the routes of these endpoints. ``subjects`` are those of the entities, for queries without properties."""
    endpoints = _Images(policy, record, subjects, clock)
    return [
        Route("POST", "/v1/images/filter", endpoints.filter),
        Route("POST", "/v1/images/check", endpoints.check),
    ]


class _Images:
    def __init__(
        self,
        policy: Callable[[], DecisionPoint],
        record: Record,
        subjects: Callable[[], Subjects],
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._record = record
        self._subjects = subjects
        self._clock = clock

    def filter(self, call: Call) -> Reply:
        """Answer what a subject may see of one image or of many, as the filter cuts the API's own answers."""
        limits, until = call.limits, self._clock() + call.limits.seconds
        message = call.json_object(limits.documents)
        one = "image" in message
        if one is ("images" in message):
            raise MalformedRequest("the body needs either `image` or `images`")
        images = [message["image"]] if one else message["images"]
        if not isinstance(images, list):
            raise MalformedRequest(f"`images` must be an array, not {kind(images)}")
        if len(images) > limits.images:
            raise MalformedRequest(f"`images` has more than {limits.images} items; send fewer at a time", 413)
        documents, members_of = _all_given(self._in_time(images, until), one=one)
        x = self._rehearsal(call, message, "GET", ("images",), members_of=members_of)
        kept = listing.visible(x, self._in_time(documents, until))
        return json_reply({"image": kept[0] if kept else None} if one else {"images": kept})

    def _in_time(self, images: Iterable[Item], until: float) -> Iterator[Item]:
        """Yield the images; raises MalformedRequest (413) when the time is up."""
        clock = self._clock
        for image in images:
            if clock() > until:
                raise MalformedRequest("the images take too long; send fewer at a time", 413)
            yield image

    def check(self, call: Call) -> Reply:
        """Answer what would become of a create or a patch, attribute by attribute or operation by operation."""
        message = call.json_object(passed_on=True)
        create = "create" in message
        if create is ("patch" in message):
            raise MalformedRequest("the body needs either `create` or `patch`")
        return self._check_create(call, message) if create else self._check_patch(call, message)

    def _check_create(self, call: Call, message: Mapping[str, object]) -> Reply:
        body = message["create"]
        if not isinstance(body, dict):
            raise MalformedRequest(f"`create` must be an object, not {kind(body)}")
        x = self._rehearsal(call, message, "POST", ("images",))
        return _judged(judge_create(x, body), [{"name": name} for name in body])

    def _check_patch(self, call: Call, message: Mapping[str, object]) -> Reply:
        media, patch = message.get("media_type", patches.V21), message["patch"]
        if not isinstance(media, str):
            raise MalformedRequest(f"`media_type` must be text, not {kind(media)}")
        if "image" not in message:
            raise MalformedRequest("a `patch` needs the stored `image`")
        stored = _named("image", message["image"])
        if not is_identifier(stored.document["id"]):
            raise MalformedRequest("`image`: the `id` of an image is in lower case here")
        x = self._rehearsal(call, message, "PATCH", ("images", stored.document["id"]), find=lambda _: stored)
        try:
            judgement = judge_patch(x, json_bodies.dump(patch), media)
        except UnexpectedDocument as error:
            raise MalformedRequest(f"`image`: {error}") from None
        operations = patch if isinstance(patch, list) and judgement.parts else []
        return _judged(judgement, [_place(each) for each in operations])

    def _rehearsal(
        self,
        call: Call,
        message: Mapping[str, object],
        method: str,
        path: tuple[str, ...],
        *,
        find: Find | None = None,
        members_of: MembersOf | None = None,
    ) -> Rehearsal:
        who = subject(message.get("subject"), self._subjects())
        context = optional_object(message, "context")
        environ = request(method, "/".join((V2, *path)))
        match = api.find(method, ApiPath(V2, path))

        def tell(query: Query, decision: Decision) -> None:
            self._record(query, decision, call)

        return rehearsal(
            environ,
            match,
            point=self._policy(),
            subject=who,
            context={"api": "glance", "api_version": "v2", **context},
            tell=tell,
            find=find,
            members_of=members_of,
        )


def _all_given(images: Iterable[object], *, one: bool) -> tuple[list[Document], MembersOf]:
    """Return the documents, and what knows the members of each; raises MalformedRequest."""
    found = [_named("image" if one else f"images[{index}]", image) for index, image in enumerate(images)]
    # By identity, because a list may have an image twice.
    members = {id(each.document): each.members for each in found}
    return [each.document for each in found], lambda document: members[id(document)]


def _named(where: str, image: object) -> Given:
    try:
        return given(image)
    except MalformedRequest as error:
        raise MalformedRequest(f"`{where}`: {error}") from None


def _place(operation: object) -> dict[str, object]:
    """Return what an operation of a patch is about, as it says it: both media types have a path somewhere."""
    found = operation if isinstance(operation, dict) else {}
    path = next((found[key] for key in ("path", *patches.Op) if key in found), None)
    return {"path": path} if isinstance(path, str) else {}


def _judged(judgement: Judgement, places: list[dict[str, object]]) -> Reply:
    whole = judgement.whole.document()
    del whole["decision"]
    parts = [place | part.document() for place, part in zip(places, judgement.parts, strict=True)]
    answer: dict[str, Any] = whole | {"operations": parts}
    if judgement.left is not None:
        answer["body"] = orjson.Fragment(judgement.left)
    return json_reply(answer)
