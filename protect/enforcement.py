"""The enforcement point: a WSGI filter that asks about every request, and does what the answer says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, quote

from webob import Request, exc

from protect import upstream
from protect.decisions import DecisionPoint, Hide
from protect.errors import MalformedRequest, ProtectError
from protect.glance import documents, json_bodies, patches, queries, routes
from protect.glance.attributes import CORE
from protect.glance.documents import Document, StoredImage, UnexpectedDocument, as_image
from protect.glance.paths import api_path
from protect.glance.routes import Body, Door, Match, MethodNotAllowed, On
from protect.upstream import (
    REVISION_HEADER,
    Answer,
    FetchedImage,
    FetchedMetadef,
    StoredMember,
    Unavailable,
)
from protect.values import (
    AnyResource,
    Decision,
    Image,
    Member,
    Metadef,
    Property,
    Query,
    Store,
    Subject,
    Task,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DISCARDED_HEADER = "X-Protect-Discarded"
MAX_REQUEST_ID = 64  # characters; the API fails on longer ones
MAX_PAGES = 50  # pages that one list request may cost behind us
REFILL = 200  # images on each page that we ask for ourselves
DEFAULT_LIMIT = 25  # the API's own page size

log = logging.getLogger("protect.enforcement")


class Mode(StrEnum):
    """Whether decisions are carried out, or only made and logged."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Outcome(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    ERROR = "error"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the decision log. ``property`` is a name: values never get here."""

    outcome: Outcome
    action: str
    resource: str
    resource_id: str | None
    property: str | None
    subject: str | None
    tenant: str | None
    reason: str
    revision: str
    mode: Mode
    request_id: str | None


class Refused(ProtectError):
    """The request stops here. ``response`` is what the client gets."""

    def __init__(self, response: exc.WSGIHTTPException | Answer) -> None:
        self.response = response
        super().__init__("refused")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with a request that may pass.

    ``body`` replaces the request's own (None: it streams through). ``edit`` rewrites a success of the API,
    and may still refuse (None: the answer streams through). ``answer`` is given without asking the API.
    """

    body: bytes | None = None
    content_type: str = "application/json"
    edit: Callable[[Answer], Answer] | None = None
    answer: Answer | None = None
    discarded: tuple[str, ...] = ()
    capped: bool = False


@dataclass(slots=True)
class Exchange:
    """One request on its way through: who asks, the policy that answers, and the API behind."""

    environ: WSGIEnvironment
    match: Match
    point: DecisionPoint
    subject: Subject
    api: upstream.Upstream
    mode: Mode
    record: Callable[[Entry], None]
    context: dict[str, object]
    _hide: Hide | None = field(default=None)

    def decide(self, action: str, resource: AnyResource) -> Decision:
        """Answer one question, and log the answer."""
        decision = self._quietly(action, resource)
        self.log_decision(decision, action, resource)
        return decision

    def require(self, action: str, resource: AnyResource, *, about: AnyResource | None = None) -> None:
        """Raise Refused unless ``action`` is allowed. ``about`` is what a refusal may have to deny."""
        decision = self.decide(action, resource)
        if not decision.allowed:
            message = f"You are not authorized to complete {action} action."
            raise self.refused(decision, message, action, about)

    def refused(self, decision: Decision, message: str, action: str = "", about: AnyResource | None = None) -> Refused:
        """Return the refusal for a denial: 401 to those unknown, 404 where existence is secret, else 403."""
        if decision.error and self.api.failure is not None:
            return relayed(self.api.failure)
        if not self.subject.authenticated:
            return Refused(exc.HTTPUnauthorized())
        if about is not None and self._secret(action, about):
            return Refused(exc.HTTPNotFound(self._absent()))
        return Refused(exc.HTTPForbidden(message))

    def hide(self, image: Image, names: AbstractSet[str]) -> AbstractSet[str]:
        """Return those among ``names`` that the subject may not read."""
        if self._hide is None:
            self._hide = self.point.hidden(self.subject, self.context)
        return self._hide(image, names) & names

    def log_hidden(self, names: Iterable[str], image_id: str | None) -> None:
        """Log properties that were hidden: once for each name, however many images had it."""
        for name in sorted(names):
            self._record(Outcome.DENIED, "read", "Property", image_id, name, "the property may not be read")

    def image(self) -> Image:
        """Return the image that the path names; nothing is fetched until a fact is asked for."""
        image_id = self.match.names["image"]
        return as_image(upstream.fetched_image(self.api, image_id, self.image_path()))

    def image_path(self) -> str:
        return self.match.path.inside("images", self.match.names["image"])

    def stored(self, document: Document) -> Image:
        """Return the facts in a document that the API has just shown."""
        return as_image(StoredImage(document, lambda: self._members(document["id"])))

    def _members(self, image_id: str) -> Mapping[str, str]:
        return upstream.members_at(self.api, self.match.path.inside("images", image_id, "members"))()

    def _quietly(self, action: str, resource: AnyResource) -> Decision:
        self.api.failure = None
        return self.point.decide(Query(self.subject, action, resource, self.context))

    def _secret(self, denied: str, about: AnyResource) -> bool:
        """Tell whether the subject may not even know that ``about`` exists."""
        look = _LOOKS.get(about.kind)
        return look is not None and (denied == look or not self._quietly(look, about).allowed)

    def _absent(self) -> str:
        image_id = self.match.names.get("image")
        return f"No image found with ID {image_id}" if image_id else "The resource could not be found."

    def log_decision(self, decision: Decision, action: str, resource: AnyResource) -> None:
        """Write one answer to the decision log."""
        kind = resource.kind
        about = cast("Image", getattr(resource, "image", resource))
        name = cast("Property", resource).name if kind == "Property" else None
        self._record(_outcome(decision), action, kind, getattr(about, "id", None), name, decision.reason)

    def _record(self, outcome: Outcome, action: str, kind: str, id: str | None, name: str | None, reason: str) -> None:
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
            )
        )


# The action that shows a resource at all: who may not do that is told that it does not exist.
_LOOKS = {"Image": "get_image", "Metadef": "get_metadef_namespace"}


def _outcome(decision: Decision) -> Outcome:
    if decision.allowed:
        return Outcome.ALLOWED
    if decision.error:
        return Outcome.ERROR
    return Outcome.DISCARDED if decision.discard else Outcome.DENIED


class Protect:
    """The filter. ``policy`` returns the decision point of the moment and is called once for each request.

    ``image_size_cap``: bytes that one upload may have. ``log`` gets every decision, but not one for each
    image that a list shows. In shadow mode everything is decided and logged, and nothing is changed.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        policy: Callable[[], DecisionPoint],
        identify: Callable[[WSGIEnvironment], Subject],
        mode: Mode = Mode.ENFORCE,
        image_size_cap: int | None = None,
        log: Callable[[Entry], None],
    ) -> None:
        self._app = app
        self._policy = policy
        self._identify = identify
        self._mode = mode
        self._image_size_cap = image_size_cap
        self._log = log

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        respond = self._shadow if self._mode is Mode.SHADOW else self._enforce
        return respond(environ)(environ, start_response)

    def _enforce(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return what answers the request: our refusal, an edited answer, or the API behind us."""
        revision = ""
        try:
            match = _match(environ)
            upstream.drop_method_overrides(environ)
            if match.route.door is Door.OPEN:
                return self._app
            exchange = self._exchange(environ, match)
            revision = exchange.point.revision
            return self._carry_out(exchange, DOORS[match.route.door](exchange))
        except Exception as error:
            return _with_revision(_response(error, environ), revision)

    def _exchange(self, environ: WSGIEnvironment, match: Match) -> Exchange:
        return Exchange(
            environ=environ,
            match=match,
            point=self._policy(),
            subject=self._identify(environ),
            api=upstream.Upstream(self._app, environ),
            mode=self._mode,
            record=self._log,
            context=_context(environ),
        )

    def _carry_out(self, exchange: Exchange, plan: Plan) -> WSGIApplication:
        environ = exchange.environ
        extra = [(REVISION_HEADER, exchange.point.revision)]
        if plan.discarded:
            extra.append((DISCARDED_HEADER, ", ".join(quote(name, safe="") for name in plan.discarded)))
        if plan.answer is not None:
            return _with_headers(plan.answer, extra)
        if plan.body is not None:
            upstream.replace_body(environ, plan.body, plan.content_type)
        if plan.edit is not None:
            upstream.ask_for_plain(environ)
            answer = upstream.collect(self._app, environ)
            return _with_headers(plan.edit(answer) if answer.succeeded else answer, extra)
        app = self._app
        if plan.capped and self._image_size_cap is not None:
            app = _capped(app, environ, self._image_size_cap)
        return upstream.streamed(app, extra)

    def _shadow(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return the API behind us, whatever the decisions are, and whatever goes wrong in making them."""
        try:
            match = _match(environ)
            if match.route.door is Door.OPEN:
                return self._app
            exchange = self._exchange(environ, match)
            plan = DOORS[match.route.door](exchange)
        except Exception as error:
            _log_in_shadow(error)
            return self._app
        return self._app if plan.edit is None else _watched(self._app, plan.edit)


def _match(environ: WSGIEnvironment) -> Match:
    path = api_path(str(environ.get("SCRIPT_NAME", "")), str(environ.get("PATH_INFO", "")))
    match = routes.find(str(environ["REQUEST_METHOD"]), path)
    if len(str(environ.get("HTTP_X_OPENSTACK_REQUEST_ID") or "")) > MAX_REQUEST_ID:
        raise MalformedRequest(f"the request id has more than {MAX_REQUEST_ID} characters", 431)
    if upstream.has_body(environ) and match.route.body is Body.NONE:
        raise MalformedRequest("A body is not expected with this request.")
    return match


def _context(environ: WSGIEnvironment) -> dict[str, object]:
    """Return the circumstances of a request, as far as they are known."""
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
    facts = {
        "api": "glance",
        "api_version": "v2",
        "remote_address": environ.get("REMOTE_ADDR"),
        "store": environ.get("HTTP_X_IMAGE_META_STORE") or query.get("prefer"),
    }
    return {name: value for name, value in facts.items() if value}


def _request_id(environ: WSGIEnvironment) -> str | None:
    found = environ.get("openstack.request_id") or environ.get("HTTP_X_OPENSTACK_REQUEST_ID")
    return str(found)[:MAX_REQUEST_ID] if found else None


# --- Doors: from an exchange to a plan. They raise Refused or MalformedRequest to stop a request. ---


def _open(_: Exchange) -> Plan:
    return Plan()


def _act(x: Exchange) -> Plan:
    resource = _resource(x)
    for action in x.match.route.actions:
        x.require(action, resource, about=resource)
    return Plan()


def _list(x: Exchange) -> Plan:
    pairs = queries.parameters(str(x.environ.get("QUERY_STRING", "")))
    x.require("get_images", Image(owner=x.subject.tenant))
    return Plan(edit=lambda answer: _edit_list(x, answer, pairs))


def _show(x: Exchange) -> Plan:
    return Plan(edit=lambda answer: _edit_show(x, answer))


def _create(x: Exchange) -> Plan:
    body = json_bodies.parse_object(upstream.read_body(x.environ))
    image = documents.proposed_image(body, x.subject.tenant)
    x.require("add_image", image)
    _require_visibility(x, image, image.visibility, about=None)
    if "locations" in body:
        x.require("set_image_location", image)
    discarded = _discarded_on_create(x, image, image.properties)
    kept = {name: value for name, value in body.items() if name not in discarded}
    return Plan(json_bodies.dump(kept), edit=lambda answer: _edit_image(x, answer), discarded=discarded)


def _patch(x: Exchange) -> Plan:
    media = patches.media_type(str(x.environ.get("CONTENT_TYPE") or ""))
    changes = patches.read(upstream.read_body(x.environ), media)
    image = x.image()
    x.require("modify_image", image, about=image)
    kept = _permitted(x, image, changes, media)
    discarded = tuple(dict.fromkeys(change.name for change in changes if change not in kept))
    if not kept:
        return Plan(answer=_unchanged(x, image), discarded=discarded)
    return Plan(patches.write(kept, media), media, edit=lambda answer: _edit_image(x, answer), discarded=discarded)


def _upload(x: Exchange) -> Plan:
    _act(x)
    return Plan(capped=True)


def _download(x: Exchange) -> Plan:
    pairs = queries.parameters(str(x.environ.get("QUERY_STRING", "")))
    plan = _act(x)
    if any(name == "prefer" for name, _ in pairs):
        image = x.image()
        x.require("download_from_store", image, about=image)
    return plan


def _import(x: Exchange) -> Plan:
    body = json_bodies.parse_object(upstream.read_body(x.environ))
    method = body.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    if not isinstance(method, dict) or not isinstance(name, str):
        raise MalformedRequest("an import needs `method` with the text `name`")
    x.context["import_method"] = name
    if isinstance(method.get("uri"), str):
        x.context["import_uri"] = method["uri"]
    image = x.image()
    for action in ("copy_image",) if name == "copy-image" else x.match.route.actions:
        x.require(action, image, about=image)
    return Plan(json_bodies.dump(body))


def _image_tasks(x: Exchange) -> Plan:
    _act(x)
    return Plan(edit=lambda answer: _edit_image_tasks(x, answer))


def _members(x: Exchange) -> Plan:
    image = x.image()
    x.require("get_members", image, about=image)
    return Plan(edit=lambda answer: _edit_members(x, answer, image))


def _member_show(x: Exchange) -> Plan:
    return Plan(edit=lambda answer: _edit_member(x, answer, x.image()))


def _member_add(x: Exchange) -> Plan:
    tenant = _text_in(json_bodies.parse_object(upstream.read_body(x.environ)), "member")
    image = x.image()
    x.require("add_member", Member(tenant, image, "pending"), about=image)
    return Plan(json_bodies.dump({"member": tenant}))


def _member_update(x: Exchange) -> Plan:
    status = _text_in(json_bodies.parse_object(upstream.read_body(x.environ)), "status")
    image, tenant = x.image(), x.match.names["member"]
    x.require("get_member", _stored_member(tenant, image), about=image)
    x.require("modify_member", Member(tenant, image, status), about=image)
    return Plan(json_bodies.dump({"status": status}))


def _member_delete(x: Exchange) -> Plan:
    image = x.image()
    member = _stored_member(x.match.names["member"], image)
    for action in x.match.route.actions:
        x.require(action, member, about=image)
    return Plan()


def _task_create(x: Exchange) -> Plan:
    body = json_bodies.parse_object(upstream.read_body(x.environ))
    given = body.get("input")
    given = given if isinstance(given, dict) else {}
    task = Task(type=_text_in(body, "type"), owner=x.subject.tenant, attributes=given)
    x.require("tasks_api_access", task)
    # An import task writes these into the image it makes, past every other door.
    wanted = given.get("image_properties")
    wanted = wanted if isinstance(wanted, dict) else {}
    custom = {name: value for name, value in wanted.items() if name not in CORE}
    for name, value in custom.items():
        documents.check_property(name, value)
    image = Image(owner=x.subject.tenant, status="queued", properties=custom)
    discarded = _discarded_on_create(x, image, custom)
    for name in discarded:
        del wanted[name]
    return Plan(json_bodies.dump(body), discarded=discarded)


DOORS: Mapping[Door, Callable[[Exchange], Plan]] = {
    Door.OPEN: _open,
    Door.ACT: _act,
    Door.LIST: _list,
    Door.SHOW: _show,
    Door.CREATE: _create,
    Door.PATCH: _patch,
    Door.UPLOAD: _upload,
    Door.DOWNLOAD: _download,
    Door.IMPORT: _import,
    Door.IMAGE_TASKS: _image_tasks,
    Door.MEMBERS: _members,
    Door.MEMBER_SHOW: _member_show,
    Door.MEMBER_ADD: _member_add,
    Door.MEMBER_UPDATE: _member_update,
    Door.MEMBER_DELETE: _member_delete,
    Door.TASK_CREATE: _task_create,
}


def _resource(x: Exchange) -> AnyResource:
    """Return what the actions of a route are decided on."""
    names, on = x.match.names, x.match.route.on
    if on is On.IMAGE:
        return x.image()
    if on is On.TASK:
        return Task(id=names.get("task"), owner=None if "task" in names else x.subject.tenant)
    if on is On.STORE:
        return Store(id=names.get("store"))
    return _metadef(x, on.value)


def _metadef(x: Exchange, kind: str) -> AnyResource:
    namespace = x.match.names.get("namespace")
    if namespace is None:
        return Metadef(type=kind, owner=x.subject.tenant)
    # PATH_INFO holds the bytes of the path, read as latin-1.
    path = x.match.path.inside("metadefs", "namespaces", namespace.encode().decode("latin-1"))
    item = namespace if kind == On.NAMESPACE else x.match.names.get("item")
    load = FetchedMetadef(kind, item, namespace, lambda: x.api.fetch(path, documents.read_object))
    return cast("AnyResource", load)


def _stored_member(tenant: str, image: Image) -> Member:
    return cast("Member", StoredMember(tenant, image))


def _text_in(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedRequest(f"the body needs `{key}`, a text that is not empty")
    return value


# --- Decisions on what is written ---


def _require_visibility(x: Exchange, image: Image, wanted: object, about: Image | None) -> None:
    action = {"public": "publicize_image", "community": "communitize_image"}.get(cast("str", wanted))
    if action is not None:
        x.require(action, image, about=about)


def _discarded_on_create(x: Exchange, image: Image, properties: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names that a rule says to drop; raises Refused for the first one that is denied."""
    return tuple(name for name, value in properties.items() if not _written(x, "create", Property(name, image, value)))


def _written(x: Exchange, action: str, prop: Property, *, about: Image | None = None) -> bool:
    """Tell whether a property is written (True) or silently dropped (False); raises Refused if denied."""
    decision = x.decide(action, prop)
    if decision.allowed:
        return True
    if decision.discard and not decision.error:
        return False
    raise x.refused(decision, _reserved(prop.name), action, about)


def _reserved(name: str) -> str:
    return f"Attribute '{json_bodies.printable(name)}' is reserved."


def _permitted(x: Exchange, image: Image, changes: Iterable[patches.Change], media: str) -> tuple[patches.Change, ...]:
    """Return the operations that are not dropped; raises Refused for the first one that may not be done.

    Walks over the names as they will be when each operation is reached: what one adds, the next one finds.
    """
    names: dict[str, object] | None = None
    kept = []
    for change in changes:
        if change.custom and names is None:
            names = dict(image.properties)
        if not change.custom:
            _require_attribute(x, image, change)
            kept.append(change)
        elif names is not None and _change_written(x, image, change, names, media):
            kept.append(change)
            _apply(change, names)
    return tuple(kept)


def _require_attribute(x: Exchange, image: Image, change: patches.Change) -> None:
    if change.name == "visibility":
        _require_visibility(x, image, change.value, about=image)
    elif change.name == "locations":
        removing = change.op is patches.Op.REMOVE
        x.require("delete_image_location" if removing else "set_image_location", image, about=image)


def _change_written(x: Exchange, image: Image, change: patches.Change, names: Mapping[str, object], media: str) -> bool:
    name, new = change.name, Property(change.name, image, change.value)
    if name not in names:
        if change.op is patches.Op.ADD:
            return _written(x, "create", new, about=image)
        raise _conflict(f"Property {json_bodies.printable(name)} does not exist.")
    old = Property(name, image, names[name])
    readable = x.decide("read", old)
    if readable.error:
        raise x.refused(readable, _reserved(name), "read", image)
    if not readable.allowed:
        return _hidden_written(x, change, new, readable)
    if change.op is patches.Op.REMOVE:
        return _written(x, "delete", old, about=image)
    if change.op is patches.Op.ADD and media == patches.V20:
        raise _conflict(f"Property {json_bodies.printable(name)} already present.")
    return _written(x, "update", new, about=image)


def _hidden_written(x: Exchange, change: patches.Change, new: Property, readable: Decision) -> bool:
    """Answer a change of a property that exists and may not be read: where possible as if it did not."""
    if change.op is not patches.Op.ADD:
        raise _conflict(f"Property {json_bodies.printable(change.name)} does not exist.")
    # The right to create is no right to overwrite what one cannot see; neither is the right to update.
    if _written(x, "update", new, about=new.image):
        raise x.refused(readable, _reserved(change.name), "update", new.image)
    return False


def _apply(change: patches.Change, names: dict[str, object]) -> None:
    if change.op is patches.Op.REMOVE:
        del names[change.name]
    else:
        names[change.name] = change.value


def _conflict(message: str) -> Refused:
    return Refused(exc.HTTPConflict(message))


# --- Edits of what is answered ---


def _unchanged(x: Exchange, image: Image) -> Answer:
    """Return the image as it is, for a patch of which nothing is left."""
    stored = cast("FetchedImage", image).stored()
    document = dict(stored.document)
    _cut(x, document, as_image(stored))
    headers = [("Content-Type", "application/json")]
    return Answer("200 OK", headers, b"").with_body(documents.write(document))


def _edit_image(x: Exchange, answer: Answer) -> Answer:
    document = documents.read_document(upstream.editable(answer), x.match.names.get("image"))
    changed = _cut(x, document, x.stored(document))
    return answer.with_body(documents.write(document) if changed else answer.body)


def _edit_show(x: Exchange, answer: Answer) -> Answer:
    document = documents.read_document(upstream.editable(answer), x.match.names["image"])
    image = x.stored(document)
    x.require("get_image", image, about=image)
    changed = _cut(x, document, image)
    return answer.with_body(documents.write(document) if changed else answer.body)


def _cut(x: Exchange, document: Document, image: Image) -> bool:
    hidden = x.hide(image, document.keys() - CORE)
    x.log_hidden(hidden, image.id)
    return documents.cut(document, hidden, locations=_locations_shown(x, document, image))


def _locations_shown(x: Exchange, document: Document, image: Image) -> bool:
    return not _has_locations(document) or x.decide("get_image_location", image).allowed


def _has_locations(document: Document) -> bool:
    # Two look-ups: `isdisjoint` would walk over every name of every image in a list.
    return "locations" in document or "direct_url" in document


def _edit_list(x: Exchange, answer: Answer, pairs: list[tuple[str, str]]) -> Answer:
    filters = queries.property_filters(pairs)
    page, images = documents.read_list(upstream.editable(answer))
    count, hidden = len(images), set[str]()
    kept, changed = _visible(x, images, filters, hidden)
    if filters and "next" in page:
        kept = _refilled(x, page, kept, filters, pairs, hidden)
        changed = True
    x.log_hidden(hidden, None)
    if not changed and len(kept) == count:
        return answer.with_body(answer.body)
    page["images"] = kept
    return answer.with_body(documents.write(page))


def _visible(
    x: Exchange, images: list[Document], filters: frozenset[str], all_hidden: set[str]
) -> tuple[list[Document], bool]:
    """Return the documents that may be seen, with what may not be read cut out; and whether any was cut.

    This is the fast path: a thousand images on a page, and nothing done twice.
    """
    kept, changed = [], False
    decide, subject, context = x.point.decide, x.subject, x.context
    for document in images:
        image = x.stored(document)
        decision = decide(Query(subject, "get_image", image, context))
        if not decision.allowed:
            x.log_decision(decision, "get_image", image)
            continue
        names = document.keys() - CORE
        try:
            hidden = x.hide(image, names)
            # A filter must not tell anything about a property that may not be read.
            if filters and (not filters <= names or filters & hidden):
                continue
            if hidden or _has_locations(document):
                all_hidden |= hidden
                shown = _locations_shown(x, document, image)
                changed = documents.cut(document, hidden, locations=shown) or changed
        except UnexpectedDocument:
            # One strange image must not take the list away from everyone.
            log.exception("an image in a list could not be decided on, and is left out")
            continue
        kept.append(document)
    return kept, changed


def _refilled(
    x: Exchange,
    page: Document,
    kept: list[Document],
    filters: frozenset[str],
    pairs: list[tuple[str, str]],
    hidden: set[str],
) -> list[Document]:
    """Return a full page of a list that is filtered by a property, and set its ``next`` link.

    The API links to a next page when it has counted enough matches, seen or unseen. With `limit=1` that link
    alone would tell whether a hidden property has a value, so we look behind the page ourselves.
    """
    limit = _limit(pairs, default=max(DEFAULT_LIMIT, len(kept)))
    following = page.pop("next")
    for _ in range(MAX_PAGES):
        if following is None or len(kept) > limit:
            break
        query = queries.with_page(pairs, marker=queries.marker(following), limit=max(limit, REFILL))
        answer = x.api.get(x.match.path.inside("images"), query)
        if answer.code != 200:
            raise relayed(Unavailable(answer))
        more, images = documents.read_list(upstream.editable(answer))
        visible, _ = _visible(x, images, filters, hidden)
        kept = kept + visible
        following = more.get("next")
    else:
        raise MalformedRequest("too many images match the filter; ask for fewer with another filter")
    if len(kept) > limit > 0:
        page["next"] = "/v2/images?" + queries.with_page(pairs, marker=kept[limit - 1]["id"], limit=limit)
    return kept[:limit]


def _limit(pairs: list[tuple[str, str]], default: int) -> int:
    given = dict(pairs).get("limit", "")
    # The API has accepted it already, so it is a number.
    return int(given) if given.isdecimal() else default


def _edit_image_tasks(x: Exchange, answer: Answer) -> Answer:
    page = documents.read_object(upstream.editable(answer))
    tasks = page.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UnexpectedDocument("a list without `tasks`")
    for task in tasks:
        about = Task(**{key: _text_or_none(task.get(key)) for key in ("id", "type", "owner", "status")})
        if not x.decide("tasks_api_access", about).allowed:
            # These repeat the properties that the image was imported with.
            task.update({key: None for key in ("input", "result", "message") if key in task})
    return answer.with_body(documents.write(page))


def _text_or_none(value: object) -> Any:
    return value if isinstance(value, str) else None


def _edit_members(x: Exchange, answer: Answer, image: Image) -> Answer:
    page, rows = documents.read_members(upstream.editable(answer))
    page["members"] = [
        row for row in rows if x.decide("get_member", Member(row["member_id"], image, row["status"])).allowed
    ]
    return answer.with_body(documents.write(page))


def _edit_member(x: Exchange, answer: Answer, image: Image) -> Answer:
    row = documents.check_member(documents.read_object(upstream.editable(answer)))
    if row["member_id"] != x.match.names["member"]:
        raise UnexpectedDocument("another member than the one asked for")
    decision = x.decide("get_member", Member(row["member_id"], image, row["status"]))
    if not decision.allowed:
        # The API, too, tells those who may not see a member that there is none.
        raise x.refused(decision, "", "get_image", image)
    return answer


# --- Responses ---


def relayed(failure: Unavailable | UnexpectedDocument) -> Refused:
    """Return the API's own refusal where it gave one; else say only that it failed."""
    if isinstance(failure, Unavailable):
        answer = failure.answer
        if 400 <= answer.code < 500:
            return Refused(answer.with_body(answer.body))
        if answer.code == 503:
            return Refused(exc.HTTPServiceUnavailable())
    log.error("the image API gave an answer that cannot be used: %s", failure)
    return Refused(exc.HTTPBadGateway("The image API gave an answer that cannot be used."))


def _response(error: Exception, environ: WSGIEnvironment) -> exc.WSGIHTTPException | Answer:
    """Return what the client gets for an error. Of an error of our own it learns nothing."""
    if isinstance(error, Refused):
        return error.response
    if isinstance(error, MalformedRequest):
        return _malformed(error)
    if isinstance(error, Unavailable | UnexpectedDocument):
        return relayed(error).response
    log.error("a %s request failed in the enforcement point", environ.get("REQUEST_METHOD"), exc_info=error)
    return exc.HTTPInternalServerError()


def _malformed(error: MalformedRequest) -> exc.WSGIHTTPException:
    response = exc.status_map[error.status](str(error))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = error.allowed
    if isinstance(error, patches.UnsupportedMediaType):
        response.headers["Accept-Patch"] = ", ".join(patches.MEDIA_TYPES)
    return response


def _with_revision(response: exc.WSGIHTTPException | Answer, revision: str) -> WSGIApplication:
    if isinstance(response, Answer):
        return _with_headers(response, [(REVISION_HEADER, revision)])
    if revision:
        response.headers[REVISION_HEADER] = revision
    return response


def _with_headers(answer: Answer, extra: list[tuple[str, str]]) -> Answer:
    ours = {name.lower() for name, _ in extra}
    kept = [(name, value) for name, value in answer.headers if name.lower() not in ours]
    return Answer(answer.status, kept + extra, answer.body)


def _capped(app: WSGIApplication, environ: WSGIEnvironment, cap: int) -> WSGIApplication:
    """Return an app that answers 413 for an upload of more than ``cap`` bytes.

    Raises MalformedRequest at once where the request says so itself.
    """
    declared = upstream.declared_length(environ)
    if declared is not None and declared > cap:
        raise MalformedRequest(f"the image is larger than {cap} bytes", 413)
    if declared is None and "uwsgi.version" in environ:
        # There the API reads a chunked body past us, where we cannot count.
        raise MalformedRequest("an upload needs a Content-Length", 411)
    body = environ["wsgi.input"] = upstream.Capped(environ["wsgi.input"], cap)

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        too_large = exc.HTTPRequestEntityTooLarge(f"the image is larger than {cap} bytes")
        try:
            status, headers, chunks = Request(environ).call_application(app)
        except Exception:
            if body.exceeded:
                return too_large(environ, start_response)
            raise
        if body.exceeded:
            _close(chunks)
            return too_large(environ, start_response)
        start_response(status, headers)
        return chunks

    return run


def _watched(app: WSGIApplication, edit: Callable[[Answer], Answer]) -> WSGIApplication:
    """Return an app whose answers pass unchanged, while ``edit`` decides on a copy."""

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, chunks = Request(environ).call_application(app)
        rest = iter(chunks)
        head = list(_up_to(rest, upstream.MAX_ANSWER))
        try:
            answer = Answer(status, list(headers), b"".join(head))
            if answer.succeeded:
                edit(answer)
        except Exception as error:
            _log_in_shadow(error)
        start_response(status, headers)
        return _Closing(chain(head, rest), chunks)

    return run


def _up_to(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        size -= len(chunk)
        yield chunk
        if size < 0:
            return


class _Closing:
    """An answer's chunks; closing them closes what they came from."""

    def __init__(self, chunks: Iterator[bytes], source: object) -> None:
        self._chunks = chunks
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        _close(self._source)


def _close(chunks: object) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _log_in_shadow(error: Exception) -> None:
    if isinstance(error, Refused | MalformedRequest):
        log.info("shadow mode: this request would have been refused: %s", error)
    else:
        log.error("shadow mode: a request could not be decided on", exc_info=error)
