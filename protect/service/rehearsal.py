"""A request that is decided on as the filter would, and never forwarded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple, cast

from protect.authzen.images import Unknown, check_document
from protect.decisions import DecisionPoint
from protect.enforcement.decision_log import Entry, Mode
from protect.enforcement.exchange import Exchange
from protect.errors import MalformedRequest
from protect.glance.attributes import CORE
from protect.glance.documents import Document, StoredImage, UnexpectedDocument
from protect.glance.routes import Match
from protect.json_bodies import kind
from protect.upstream.facts import FetchedImage
from protect.upstream.subrequests import Upstream
from protect.values import AnyResource, Decision, Image, Property, Query, Subject

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST = 2**63 - 1
_NUMBERS = ("size", "min_disk", "min_ram")

#: Is told of every decision.
Tell = Callable[[Query, Decision], None]


class NotGiven(UnexpectedDocument):
    """A rule asks for a fact that nobody has told us. Taken as absent, it could silence a `forbid`."""


class Given(NamedTuple):
    """An image as somebody has told us of it. ``members``: tenant to status, None where that was not told."""

    document: Document
    members: Mapping[str, str] | None = None


#: Returns the image with an id; raises NotGiven.
Find = Callable[[str], Given]

#: Returns the members of an image, None where they were not told.
MembersOf = Callable[[Document], Mapping[str, str] | None]


def given(document: object) -> Given:
    """Return the image in a document of the API, which may tell its ``members`` as well; raises MalformedRequest.

    Only an object is that: a custom property that is called `members` is a text, and stays one.
    """
    if type(document) is not dict:
        raise MalformedRequest(f"an image must be an object, not {kind(document)}")
    if type(document.get("id")) is not str or not document["id"]:
        raise MalformedRequest("an image needs `id`, a text that is not empty")
    if "members" not in document:
        _check(document)
        return Given(document)
    rest = {name: value for name, value in document.items() if name != "members"}
    _check(rest)
    members = document["members"]
    if members is None or type(members) is str:
        return Given(document)
    if type(members) is not dict or not all(type(status) is str for status in members.values()):
        raise MalformedRequest("the `members` of an image must be an object: of each tenant its status, as text")
    return Given(rest, members)


def _check(document: Document) -> None:
    for name in _NUMBERS:
        value = document.get(name)
        if type(value) is float and value.is_integer():
            # JSON knows no other difference between them than the spelling.
            document[name] = value = int(value)
        if type(value) is int and not 0 <= value <= LARGEST:
            raise MalformedRequest(f"`{name}` in an image must be a number from 0 to {LARGEST}")
    check_document(document)
    if "locations" in document:
        _check_locations(document["locations"])


def _check_locations(places: object) -> None:
    if places is None:
        return
    if type(places) is not list or not all(type(each) is dict and type(each.get("url")) is str for each in places):
        raise MalformedRequest("the `locations` of an image must be an array of objects, each with a `url`")


@dataclass(slots=True, kw_only=True)
class Rehearsal(Exchange):
    """One request, decided on without an answer to it.

    Where ``find`` is given, it knows the images, not the API; ``members_of`` knows the members of many at hand.
    ``denial`` is the last decision that was none to allow.
    """

    tell: Tell
    find: Find | None = None
    members_of: MembersOf | None = None
    denial: Decision | None = None

    def fetched_by_id(self, image_id: str) -> FetchedImage:
        find = self.find
        if find is None:
            return Exchange.fetched_by_id(self, image_id)
        return FetchedImage(image_id, lambda: StoredImage(find(image_id).document, self.members))

    def members(self, document: Document) -> Mapping[str, str]:
        if self.members_of is not None:
            found = self.members_of(document)
        elif self.find is not None:
            found = self.find(document["id"]).members
        else:
            return Exchange.members(self, document)
        if found is None:
            raise NotGiven("the members of a shared image were not given")
        return found

    def log_decision(self, decision: Decision, action: str, resource: AnyResource) -> None:
        if not decision.allowed:
            self.denial = decision
        self.tell(Query(self.subject, action, resource, self.context), decision)

    def log_hidden(self, hidden: Mapping[str, Decision | None], image_id: str | None) -> None:
        # One line for each name, however many images had it: of no image more than its id is told.
        image = cast("Image", Unknown("Image", image_id))
        for name in sorted(hidden):
            why = hidden[name]
            if why is None or why.allowed:
                why = Decision(False, "the property may not be read", self.point.revision)
            told = Property(name, image, core=name in CORE)
            self.tell(Query(self.subject, "read", told, self.context), why)


def rehearsal(
    environ: WSGIEnvironment,
    match: Match,
    *,
    point: DecisionPoint,
    subject: Subject,
    context: dict[str, object],
    tell: Tell,
    find: Find | None = None,
    members_of: MembersOf | None = None,
    upstream: WSGIApplication | None = None,
) -> Rehearsal:
    """Return the rehearsal of a request. Whoever knows of its image is ``find``, else ``upstream``, else nobody."""
    return Rehearsal(
        environ=environ,
        match=match,
        point=point,
        subject=subject,
        api=Upstream(upstream or _nobody, environ),
        mode=Mode.ENFORCE,
        record=_nothing,
        context=context,
        tell=tell,
        find=find if find is not None or upstream is not None else _not_given,
        members_of=members_of,
    )


def request(method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> WSGIEnvironment:
    """Return a request as the filter would see it."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "text/plain",
        "wsgi.input": BytesIO(body),
    }


def _not_given(image_id: str) -> Given:
    raise NotGiven("there is nobody to ask for the facts of an image")


def _nobody(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
    return [b""]


def _nothing(entry: Entry) -> None:
    """The decisions of a rehearsal are told as queries, not as lines of the filter's log."""
