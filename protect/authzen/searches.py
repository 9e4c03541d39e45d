"""Searches on the wire: what is looked for, the candidates, and one page of those that are found."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from protect.authzen.entities import Candidate, Entities
from protect.authzen.evaluations import circumstances
from protect.authzen.fields import ENTITY, action, optional_object, wrong, wrong_object, wrong_part
from protect.authzen.resources import check_type, resource
from protect.authzen.subjects import GivenSubject, subject
from protect.errors import MalformedRequest
from protect.values import NOTHING, Query

Message = Mapping[str, object]

#: The most results that one page holds, however many are wished for.
MOST_ON_A_PAGE = 1000

_DIGEST = 16
_TOKEN = struct.Struct(f">{_DIGEST}sQQH")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked through: how each candidate is written where it is found, and the query that decides on it."""

    candidates: Sequence[Candidate]
    query: Callable[[Any], Query]


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the results is wished for. ``start`` counts candidates, ``before`` what earlier pages found.

    ``fingerprint`` ties a token to its query, the policy and the entities.
    """

    limit: int
    fingerprint: bytes
    start: int = 0
    before: int = 0

    def token(self, start: int, before: int) -> str:
        """Return the token for the page that begins with the candidate ``start``."""
        packed = _TOKEN.pack(self.fingerprint, start, before, self.limit)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def subjects(message: Message, entities: Entities) -> Search:
    """Return the search for subjects that ``message`` asks for; raises MalformedRequest."""
    type_ = _searched(message, "subject")
    # Candidates have their own; these are only checked, like those of any subject.
    GivenSubject(type_, "", optional_object(cast("Message", message["subject"]), "properties"))
    name, properties = action(message.get("action"))
    thing = resource(message.get("resource"), entities.resources)
    context = circumstances(message, properties)
    return Search(entities.subjects_of(type_), lambda who: Query(who, name, thing, context))


def resources(message: Message, entities: Entities) -> Search:
    """Return the search for resources that ``message`` asks for; raises MalformedRequest."""
    type_ = _searched(message, "resource")
    check_type(type_)
    name, properties = action(message.get("action"))
    who = subject(message.get("subject"), entities.subjects)
    context = circumstances(message, properties)
    return Search(entities.resources_of(type_), lambda thing: Query(who, name, thing, context))


def actions(message: Message, entities: Entities, mentioned: Callable[[str], Iterable[str]]) -> Search:
    """Return the search for actions that ``message`` asks for: among those of the file, and those ``mentioned`` by the
    policy for this kind of resource. Raises MalformedRequest."""
    who = subject(message.get("subject"), entities.subjects)
    thing = resource(message.get("resource"), entities.resources)
    context = circumstances(message, NOTHING)
    names = dict.fromkeys((*entities.actions, *sorted(mentioned(thing.kind))))
    return Search([({"name": name}, name) for name in names], lambda name: Query(who, name, thing, context))


def page(message: Message, *place: str) -> Page | None:
    """Return the page that ``message`` wishes for, None for all results at once; raises MalformedRequest.

    ``place`` is what is searched, and the revisions of the policy and the entities. A token that belongs to another
    query, or to another place, is refused.
    """
    wished: Any = message.get("page", NOTHING)
    if wished is NOTHING:
        return None
    if not isinstance(wished, dict):
        raise wrong("page", "an object", wished)
    if "properties" in wished and not isinstance(wished["properties"], dict):
        raise wrong("page.properties", "an object", wished["properties"])
    limit = _limit(wished)
    fingerprint = _fingerprint(message, place)
    if "token" not in wished:
        return Page(limit or MOST_ON_A_PAGE, fingerprint)
    made_for, start, before, first_limit = _unpacked(wished["token"])
    if made_for != fingerprint:
        raise MalformedRequest(
            "`page.token` does not belong to this search, or the policy or the entities have changed since; "
            "search again without it"
        )
    return Page(limit or first_limit or MOST_ON_A_PAGE, fingerprint, start, before)


def found(
    search: Search, wished: Page | None, allowed: Callable[[Query], bool], over: Callable[[], bool]
) -> dict[str, object]:
    """Return the answer to ``search``.

    ``over`` tells that the time is up: a page ends there and the next one goes on; all at once is refused. Raises
    MalformedRequest (413).
    """
    if wished is None:
        return {"results": _all(search, allowed, over)}
    results: list[Mapping[str, str]] = []
    for position in range(wished.start, len(search.candidates)):
        result, candidate = search.candidates[position]
        # At least one is looked at, so that a slow search goes on from page to page.
        late = position > wished.start and over()
        if not late and allowed(search.query(candidate)):
            if len(results) < wished.limit:
                results.append(result)
                continue
            late = True  # there is one more: it begins the next page
        if late:
            token = wished.token(position, wished.before + len(results))
            return {"page": {"next_token": token, "count": len(results)}, "results": results}
    total = wished.before + len(results)  # known at the end only
    return {"page": {"next_token": "", "count": len(results), "total": total}, "results": results}


def _all(search: Search, allowed: Callable[[Query], bool], over: Callable[[], bool]) -> list[Mapping[str, str]]:
    results = []
    for result, candidate in search.candidates:
        if over():
            raise MalformedRequest("the search takes too long; narrow it, or ask for pages with `page.limit`", 413)
        if allowed(search.query(candidate)):
            results.append(result)
    return results


def _searched(message: Message, key: str) -> str:
    """Return the type that is looked for. An id beside it is ignored, whatever it is."""
    value = message.get(key)
    if not isinstance(value, dict) or "type" not in value:
        raise wrong_object(value, key, ENTITY)
    if error := wrong_part({name: value[name] for name in value if name != "id"}, key, ENTITY):
        raise error
    return str(value["type"])


def _limit(wished: Mapping[str, object]) -> int | None:
    value = wished.get("limit")
    if "limit" not in wished:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or value < 1:
        raise MalformedRequest("`page.limit` must be a whole number above 0")
    return min(value, MOST_ON_A_PAGE)


def _fingerprint(message: Message, place: tuple[str, ...]) -> bytes:
    # Everything but the page: with a token, the rest of the message must be what it was.
    said = json.dumps([*place, {key: message[key] for key in message if key != "page"}], sort_keys=True)
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST).digest()


def _unpacked(token: object) -> tuple[bytes, int, int, int]:
    if not isinstance(token, str):
        raise wrong("page.token", "text", token)
    if not token:
        raise MalformedRequest("`page.token` is empty: there is no further page")
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        made_for, start, before, limit = _TOKEN.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        raise MalformedRequest("`page.token` is not a token from here") from None
    return made_for, start, before, limit
