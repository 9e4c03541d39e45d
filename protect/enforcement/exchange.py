"""One request on its way through: its decisions, each of them logged, and the refusal that a denial means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from webob import exc

from protect import json_bodies
from protect.decisions import DecisionPoint, Foresight, Hide
from protect.enforcement.decision_log import Entry, Mode, Outcome
from protect.enforcement.logged_facts import logged_facts
from protect.enforcement.refusals import Refused, relayed, response_to
from protect.glance import queries
from protect.glance.attributes import CORE, HIDEABLE
from protect.glance.documents import Document, StoredImage, as_image
from protect.glance.routes import Door, Match
from protect.json_bodies import printable
from protect.upstream.answers import Answer
from protect.upstream.bodies import read_body
from protect.upstream.facts import (
    FetchedImage,
    FetchedMetadef,
    fetched_image,
    fetched_members,
    fetched_namespace,
)
from protect.upstream.subrequests import Upstream
from protect.values import AnyResource, Decision, Image, Metadef, Property, Query, Subject

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_REQUEST_ID = 64  # characters; the API fails on longer ones

# The action that shows a resource at all: who may not do that is told that it does not exist.
_LOOKS = {"Image": "get_image", "Metadef": "get_metadef_namespace"}

# Whose answer is the very resource that the path names: a 404 is about nothing else.
_SHOWS = frozenset({Door.SHOW, Door.NAMESPACE_SHOW})

# The API refuses these before it looks for the image.
_BLIND = frozenset({"list_cached_nodes", "manage_image_cache"})


@dataclass(slots=True)
class Exchange:
    """One request on its way through: who asks, the policy that answers, and the API behind."""

    environ: WSGIEnvironment
    match: Match
    point: DecisionPoint
    subject: Subject
    api: Upstream
    mode: Mode
    record: Callable[[Entry], None]
    context: dict[str, object]
    logged: AbstractSet[Outcome] = frozenset(Outcome)
    log_facts: bool = False
    _hide: Hide | None = field(default=None)
    _attributes: Foresight | None = field(default=None)

    # What was asked for

    def read_body(self) -> bytes:
        return read_body(self.environ)

    def read_object(self) -> Mapping[str, object]:
        """Return the JSON object in the request's body; raises MalformedRequest."""
        return json_bodies.parse_object(self.read_body())

    def parameters(self) -> list[tuple[str, str]]:
        """Return the parameters of the query string; raises MalformedRequest."""
        return queries.parameters(str(self.environ.get("QUERY_STRING", "")))

    def fetched(self) -> FetchedImage:
        """Return the image that the path names; nothing is fetched until a fact is asked for."""
        return self.fetched_by_id(self.match.names["image"])

    def fetched_by_id(self, image_id: str) -> FetchedImage:
        """Return the image with an id; nothing is fetched until a fact is asked for."""
        return fetched_image(self.api, image_id, self._image_path(image_id), self.subject.tenant)

    def namespace(self, name: str) -> Mapping[str, object]:
        """Return the document of the namespace with a name; raises Unavailable or UnexpectedDocument."""
        return fetched_namespace(self.api, self.match.path.inside("metadefs", "namespaces"), name)

    def image(self) -> Image:
        """Return `fetched()` as what decisions are made on."""
        return as_image(self.fetched())

    def stored(self, document: Document) -> Image:
        """Return the facts in a document that the API has just shown."""
        return as_image(StoredImage(document, self.members))

    def members(self, document: Document) -> Mapping[str, str]:
        """Return with whom the API says that the image of ``document`` is shared."""
        return fetched_members(self.api, self._image_path(document["id"]), self.subject.tenant)

    def _image_path(self, image_id: str) -> str:
        return self.match.path.inside("images", image_id)

    # Decisions

    def decide(self, action: str, resource: AnyResource) -> Decision:
        """Answer one question, and log the answer."""
        decision = self.quietly(action, resource)
        self.log_decision(decision, action, resource)
        return decision

    def require(
        self, action: str, resource: AnyResource, *, about: AnyResource | None = None, message: str | None = None
    ) -> None:
        """Raise Refused unless ``action`` is allowed. ``about`` is what a refusal may have to deny."""
        decision = self.decide(action, resource)
        if not decision.allowed:
            told = message or f"You are not authorized to complete {action} action."
            raise self.refused(decision, told, action, about)

    def forbidden(self, action: str, resource: AnyResource) -> Decision:
        """Ask whether a rule forbids what needs no `allow` of its own, and log the answer."""
        self.api.failure = None
        decision = self.point.forbidden(Query(self.subject, action, resource, self.context))
        self.log_decision(decision, action, resource)
        return decision

    def refused(self, decision: Decision, message: str, action: str = "", about: AnyResource | None = None) -> Refused:
        """Return the refusal for a denial: 401 to those unknown, 404 where existence is secret, else 403."""
        if decision.error and self.api.failure is not None:
            return relayed(self.api.failure)
        if not self.subject.authenticated:
            return Refused(exc.HTTPUnauthorized())
        if about is not None and not _blind(action, about) and self._secret(action, about):
            return self._not_found(self._absent())
        return Refused(exc.HTTPForbidden(message))

    def no_member(self) -> Refused:
        """Return the refusal for a member that is not there, or may not be seen."""
        member, image_id = self.match.names["member"], self.match.names["image"]
        return self._not_found(f"{printable(member)} not found in the member list of the image {image_id}.")

    def refusal(self, error: Exception) -> exc.WSGIHTTPException | Answer:
        """Return what the client gets for an error on the way."""
        response = response_to(error, self.environ)
        return self.failed(response) if isinstance(response, Answer) else response

    def failed(self, answer: Answer) -> exc.WSGIHTTPException | Answer:
        """Return what the client gets for a failure of the API.

        A 404 of its own would tell what is not there from what may not be seen: another body, another header.
        """
        if answer.code != 404:
            return answer
        if self._unseen():
            return self._not_found(self._absent()).response
        return self.no_member().response if self.match.route.door is Door.MEMBER_SHOW else answer

    def _not_found(self, message: str) -> Refused:
        """Return the one 404 for what is not there and for what may not be seen; for those unknown it is a 401."""
        known = self.subject.authenticated
        return Refused(exc.HTTPNotFound(explanation=message) if known else exc.HTTPUnauthorized())

    def hide(self, image: Image, names: AbstractSet[str]) -> AbstractSet[str]:
        """Return those among ``names`` that the subject may not read."""
        return self.hiding()(image, names) & names

    def hiding(self) -> Hide:
        """Return the function that tells what the subject may not read: one for the whole request."""
        if self._hide is None:
            self._hide = self.point.hidden(self.subject, self.context)
        return self._hide

    def hidden_attributes(self) -> Foresight:
        """Return the attributes of the API that the subject may read on no image, and those not on every one."""
        if self._attributes is None:
            self._attributes = self.point.foresee(self.subject, self.context, HIDEABLE, core=True)
        return self._attributes

    def why_hidden(self, image: Image, document: Document, names: Iterable[str]) -> dict[str, Decision]:
        """Return for each of ``names``, which may not be read on ``image``, the decision that says so: for the log."""
        return {name: self._reading(Property(name, image, document.get(name), core=name in CORE)) for name in names}

    def quietly(self, action: str, resource: AnyResource) -> Decision:
        """Answer one question. Whoever asks logs what comes of it."""
        self.api.failure = None
        return self.point.decide(Query(self.subject, action, resource, self.context))

    def _reading(self, prop: Property) -> Decision:
        if not prop.core:
            return self.quietly("read", prop)
        return self.point.forbidden(Query(self.subject, "read", prop, self.context))

    def _secret(self, denied: str, about: AnyResource) -> bool:
        """Tell whether the subject may not even know that ``about`` exists."""
        look = _LOOKS.get(about.kind)
        return look is not None and (denied == look or not self.quietly(look, about).allowed)

    def _unseen(self) -> bool:
        """Tell whether the image or namespace that the path names is not there, or may not be seen."""
        names = self.match.names
        if self.match.route.door in _SHOWS:
            return True
        if "image" in names:
            image = self.fetched()
            return not self._seen(as_image(image), image.stored)
        if "namespace" in names:
            name = names["namespace"]
            load = partial(self.namespace, name)
            return not self._seen(cast("Metadef", FetchedMetadef("namespace", name, name, load)), load)
        return False

    def _seen(self, resource: AnyResource, load: Callable[[], object]) -> bool:
        if not self.quietly(_LOOKS[resource.kind], resource).allowed:
            return False
        try:
            # What may always be seen has been allowed without a look.
            load()
        except Exception:
            return False
        return True

    def _absent(self) -> str:
        """Return the API's own words for an image or a namespace that is not there: clients show them."""
        names = self.match.names
        if "image" in names:
            deletes = self.match.route.actions == ("delete_image",)
            said = "Failed to find image {} to delete" if deletes else "No image found with ID {}"
            return said.format(names["image"])
        if "namespace" in names:
            return f"Metadata definition namespace={printable(names['namespace'])} was not found."
        return "The resource could not be found."

    # The decision log

    def log_decision(self, decision: Decision, action: str, resource: AnyResource) -> None:
        """Write one answer to the decision log, if it takes those."""
        if decision.allowed and Outcome.ALLOWED not in self.logged:
            return  # the most common of all
        outcome = Outcome.of(decision)
        if outcome not in self.logged:
            return
        kind = resource.kind
        about = cast("Image", getattr(resource, "image", resource))
        name = cast("Property", resource).name if kind == "Property" else None
        facts = logged_facts(self.subject, resource, self.context) if self.log_facts else None
        self._record(outcome, action, kind, getattr(about, "id", None), name, decision.reason, facts)

    def log_hidden(self, hidden: Mapping[str, Decision | None], image_id: str | None) -> None:
        """Log properties that were hidden: once for each name, however many images had it."""
        facts = logged_facts(self.subject, None, self.context) if self.log_facts and hidden else None
        for name in sorted(hidden):
            why = hidden[name]
            outcome = Outcome.ERROR if why is not None and why.error else Outcome.DENIED
            reason = "the property may not be read" if why is None or why.allowed else why.reason
            if outcome in self.logged:
                self._record(outcome, "read", "Property", image_id, name, reason, facts)

    def _record(
        self,
        outcome: Outcome,
        action: str,
        kind: str,
        id: str | None,
        name: str | None,
        reason: str,
        facts: Mapping[str, object] | None,
    ) -> None:
        self.record(
            Entry(
                outcome=outcome,
                action=action,
                resource=kind,
                resource_id=id,
                property=name,
                subject=self.subject.id,
                tenant=self.subject.tenant,
                reason=reason,
                revision=self.point.revision,
                mode=self.mode,
                request_id=_request_id(self.environ),
                facts=facts,
            )
        )


def _blind(action: str, about: AnyResource) -> bool:
    """Tell whether a refusal says nothing of what it is about: nobody has asked for anything of it."""
    return action in _BLIND and isinstance(about, FetchedImage) and not about.fetched


def _request_id(environ: WSGIEnvironment) -> str | None:
    found = environ.get("openstack.request_id") or environ.get("HTTP_X_OPENSTACK_REQUEST_ID")
    return str(found)[:MAX_REQUEST_ID] if found else None
