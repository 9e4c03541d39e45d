"""What would become of a create or a patch: a verdict on each attribute or operation, and on the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from protect import json_bodies
from protect.enforcement.doors.patch import Walk, require_patchable
from protect.enforcement.refusals import Refused, response_to
from protect.enforcement.writing import steps_on_create
from protect.errors import MalformedRequest
from protect.glance import documents, patches
from protect.glance.patches import Change
from protect.service.rehearsal import Rehearsal
from protect.upstream.answers import Answer
from protect.upstream.facts import FetchedImage


class Fate(StrEnum):
    """What becomes of one attribute or operation."""

    ALLOW = "allow"
    REFUSE = "refuse"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``status`` is what an API answers for it; ``message`` is fit for the client, ``reason`` is the policy's own."""

    fate: Fate
    status: int
    message: str | None = None
    reason: str | None = None

    def document(self) -> dict[str, object]:
        """Return the verdict as it is written."""
        found: dict[str, object] = {"decision": self.fate.value, "status": self.status}
        if self.message is not None:
            found["message"] = self.message
        if self.reason is not None:
            found["reason"] = self.reason
        return found


@dataclass(frozen=True, slots=True)
class Judgement:
    """``whole`` is on the request; ``parts`` are in the request's order; ``left`` is what remains to be sent on,
    None where nothing may be."""

    whole: Verdict
    parts: tuple[Verdict, ...] = ()
    left: bytes | None = None


def judge_create(x: Rehearsal, body: Mapping[str, object]) -> Judgement:
    """Return what would become of a create. The parts are those of ``body``, name by name.

    Each round decides on what the ones before have left: what is dropped or refused counts in no other decision.
    """
    try:
        documents.check_amount(body.values())
    except MalformedRequest as error:
        refusal = _refusal(x, error)
        return Judgement(refusal, (refusal,) * len(body))
    verdicts: dict[str, Verdict] = {}
    first: Verdict | None = None
    for name, value in body.items():
        try:
            documents.check_proposed(name, value)
        except MalformedRequest as error:
            verdicts[name] = _refusal(x, error)
            first = first or verdicts[name]
    while True:
        left = {name: value for name, value in body.items() if name not in verdicts}
        found = _round(x, left)
        refused = [verdict for _, verdict in found if verdict.fate is Fate.REFUSE]
        first = first or (refused[0] if refused else None)
        for about, verdict in found:
            verdicts |= dict.fromkeys(left if about is None else left.keys() & {about}, verdict)
        # A refusal of the whole leaves nothing to decide on; one of a part, its attribute has left the image.
        if found[-1:] == [] or found[-1][0] is None or verdicts.keys().isdisjoint(left):
            break
    allowed = Verdict(Fate.ALLOW, 201)
    parts = tuple(verdicts.get(name, allowed) for name in body)
    if first is not None:
        return Judgement(first, parts)
    return Judgement(allowed, parts, json_bodies.dump(left))


def _round(x: Rehearsal, body: Mapping[str, object]) -> list[tuple[str | None, Verdict]]:
    """Return the names of ``body`` that are refused or dropped, None for all of them, in the order of deciding."""
    found: list[tuple[str | None, Verdict]] = []
    for steps in steps_on_create(x, body):
        for name, decide in steps:
            x.denial = None
            try:
                if not decide():
                    found.append((name, _discarded(x, 201)))
            except (Refused, MalformedRequest) as error:
                found.append((name, _refusal(x, error)))
                if name is None:
                    return found
        if found:
            return found
    return found


def judge_patch(x: Rehearsal, body: bytes, content_type: str) -> Judgement:
    """Return what would become of a patch: an operation that is refused counts as if it had not been there.

    There are no parts where the body is no patch at all.
    """
    try:
        media = patches.media_type(content_type)
        read = [_read(operation, media) for operation in patches.operations_in(body)]
    except MalformedRequest as error:
        return Judgement(_refusal(x, error))
    # A patch of which one operation is malformed is refused before any of them is checked.
    malformed = next((each for each in read if isinstance(each, MalformedRequest)), None)
    checked = [_checked(each) for each in read]
    malformed = malformed or next((each for each in checked if isinstance(each, MalformedRequest)), None)
    first = None if malformed is None else _refusal(x, malformed)
    fetched = x.fetched()
    x.denial = None
    try:
        require_patchable(x, fetched)
    except Refused as error:
        closed = _refusal(x, error)
        parts = [closed if isinstance(each, Change) else _refusal(x, each) for each in checked]
        return Judgement(first or closed, tuple(parts))
    parts, refusal = _walked(x, fetched, checked, media)
    first = first or refusal
    if first is not None:
        return Judgement(first, tuple(parts))
    kept = [each for each, part in zip(checked, parts, strict=True) if part.fate is Fate.ALLOW]
    return Judgement(Verdict(Fate.ALLOW, 200), tuple(parts), patches.write(_changes(kept), media))


def _read(operation: object, media: str) -> Change | MalformedRequest:
    try:
        return patches.change_in(operation, media)
    except MalformedRequest as error:
        return error


def _checked(change: Change | MalformedRequest) -> Change | MalformedRequest:
    if isinstance(change, Change):
        try:
            patches.check(change)
        except MalformedRequest as error:
            return error
    return change


def _walked(
    x: Rehearsal, fetched: FetchedImage, checked: Sequence[Change | MalformedRequest], media: str
) -> tuple[list[Verdict], Verdict | None]:
    """Return what becomes of each operation, and the first refusal of one that is well formed.

    Each time that one is dropped or refused for what those behind it do, those that counted on it are decided anew.
    """
    found: list[Verdict] = []
    parts = [Verdict(Fate.ALLOW, 200) if isinstance(each, Change) else _refusal(x, each) for each in checked]
    while True:
        walk, permitted = Walk(x, fetched, media), list[int]()
        for place, change in enumerate(checked):
            if isinstance(change, Change) and parts[place].fate is Fate.ALLOW:
                parts[place] = _fate(x, partial(walk.permits, change))
                found.append(parts[place])
                if parts[place].fate is Fate.ALLOW:
                    permitted.append(place)
        for at, place in enumerate(permitted):
            parts[place] = _fate(x, partial(walk.stands, at))
            found.append(parts[place])
        if all(parts[place].fate is Fate.ALLOW for place in permitted):
            return parts, next((each for each in found if each.fate is Fate.REFUSE), None)


def _fate(x: Rehearsal, decide: Callable[[], bool]) -> Verdict:
    x.denial = None
    try:
        return Verdict(Fate.ALLOW, 200) if decide() else _discarded(x, 200)
    except (Refused, MalformedRequest) as error:
        return _refusal(x, error)


def _changes(kept: Iterable[Change | MalformedRequest]) -> tuple[Change, ...]:
    return tuple(each for each in kept if isinstance(each, Change))


def _discarded(x: Rehearsal, status: int) -> Verdict:
    return Verdict(Fate.DISCARD, status, reason=None if x.denial is None else x.denial.reason)


def _refusal(x: Rehearsal, error: Refused | MalformedRequest) -> Verdict:
    """Return the verdict for what stops a request."""
    response = response_to(error, x.environ)
    if isinstance(response, Answer):
        status, message = response.code, None
    else:
        status, message = response.status_int, response.detail or response.explanation or None
    denial = x.denial if isinstance(error, Refused) else None
    return Verdict(Fate.REFUSE, status, message, None if denial is None else denial.reason)
