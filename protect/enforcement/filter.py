"""The filter itself, as WSGI sees it: from a request to the decisions on it, and to what is done about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING
from urllib.parse import quote

from webob import exc

from protect.decisions import DecisionPoint
from protect.enforcement import shadow
from protect.enforcement.decision_log import Entry, Mode, Outcome
from protect.enforcement.doors import DOORS
from protect.enforcement.exchange import MAX_REQUEST_ID, Exchange
from protect.enforcement.plan import Plan
from protect.enforcement.refusals import response_to, without_counts
from protect.enforcement.size_cap import capped
from protect.errors import MalformedRequest
from protect.glance import routes
from protect.glance.paths import api_path
from protect.glance.routes import Body, Door, Match
from protect.upstream import forwarding
from protect.upstream.answers import Answer, collect, streamed
from protect.upstream.bodies import has_body
from protect.upstream.subrequests import Upstream
from protect.values import Subject

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DISCARDED_HEADER = "X-Protect-Discarded"
REVISION_HEADER = "X-Policy-Revision"
MAX_DISCARDED = 2048  # characters; proxies answer 502 for headers that are too long, when the write is done


class Protect:
    """The filter. ``policy`` returns the decision point of the moment and is called once for each request.

    ``image_size_cap``: bytes that one upload may have. ``log`` gets every decision whose outcome is among
    ``logged``, but not one for each image that a list shows; with ``log_facts`` also what it takes to make the
    decision again. In shadow mode everything is decided and logged, and nothing is changed.
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
        logged: AbstractSet[Outcome] = frozenset(Outcome),
        log_facts: bool = False,
    ) -> None:
        self._app = app
        self._policy = policy
        self._identify = identify
        self._mode = mode
        self._image_size_cap = image_size_cap
        self._log = log
        self._logged = logged
        self._log_facts = log_facts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        respond = self._shadow if self._mode is Mode.SHADOW else self._enforce
        return respond(environ)(environ, start_response)

    def _enforce(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return what answers the request: our refusal, an edited answer, or the API behind us."""
        try:
            match = matched(environ)
            forwarding.drop_method_overrides(environ)
            if match.route.door is Door.OPEN:
                return self._app
            exchange = self._exchange(environ, match)
        except Exception as error:
            return response_to(error, environ)
        try:
            return self._carry_out(exchange, DOORS[match.route.door](exchange))
        except Exception as error:
            return _with_revision(exchange.refusal(error), exchange.point.revision)

    def _shadow(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return the API behind us, whatever the decisions are, and whatever goes wrong in making them."""
        try:
            match = matched(environ)
            if match.route.door is Door.OPEN:
                return self._app
            exchange = self._exchange(environ, match)
            plan = DOORS[match.route.door](exchange)
            if plan.check is not None:
                plan.check()
        except Exception as error:
            shadow.report(error)
            return self._app
        return self._app if plan.edit is None else shadow.watched(self._app, plan.edit)

    def _exchange(self, environ: WSGIEnvironment, match: Match) -> Exchange:
        return Exchange(
            environ=environ,
            match=match,
            point=self._policy(),
            subject=self._identify(environ),
            api=Upstream(self._app, environ),
            mode=self._mode,
            record=self._log,
            logged=self._logged,
            log_facts=self._log_facts,
            context=circumstances(environ),
        )

    def _carry_out(self, exchange: Exchange, plan: Plan) -> WSGIApplication:
        environ = exchange.environ
        extra = [(REVISION_HEADER, exchange.point.revision)]
        if plan.discarded:
            extra.append((DISCARDED_HEADER, _listed(plan.discarded)))
        if plan.answer is not None:
            return plan.answer.with_headers(extra)
        if plan.check is not None:
            plan.check()
        if plan.body is not None:
            forwarding.replace_body(environ, plan.body, plan.content_type)
        if plan.query is not None:
            forwarding.replace_query(environ, plan.query)
        if plan.edit is not None:
            forwarding.ask_for_plain(environ)
            answer = collect(self._app, environ)
            if answer.succeeded:
                return plan.edit(answer).with_headers(extra)
            return _failed(exchange, without_counts(answer), extra)
        app = self._app
        if plan.capped and self._image_size_cap is not None:
            app = capped(app, environ, self._image_size_cap)
        return streamed(app, extra, lambda answer: _failed(exchange, answer, extra))


def matched(environ: WSGIEnvironment) -> Match:
    """Return the row of the API's table for a request; raises MalformedRequest for one that no API may get."""
    path = api_path(str(environ.get("SCRIPT_NAME", "")), str(environ.get("PATH_INFO", "")))
    match = routes.find(str(environ["REQUEST_METHOD"]), path)
    if len(str(environ.get("HTTP_X_OPENSTACK_REQUEST_ID") or "")) > MAX_REQUEST_ID:
        raise MalformedRequest(f"the request id has more than {MAX_REQUEST_ID} characters", 431)
    if has_body(environ) and match.route.body is Body.NONE:
        raise MalformedRequest("A body is not expected with this request.")
    return match


def circumstances(environ: WSGIEnvironment) -> dict[str, object]:
    """Return the circumstances of a request, as far as they are known."""
    facts: dict[str, object] = {"api": "glance", "api_version": "v2"}
    if address := environ.get("REMOTE_ADDR"):
        facts["remote_address"] = address
    return facts


def _listed(names: tuple[str, ...]) -> str:
    """Return names as one header: percent-encoded, and no longer than what proxies let pass.

    A name has no space once it is encoded, so `and 3 more` is none.
    """
    listed, room = list[str](), MAX_DISCARDED
    for name in names:
        encoded = quote(name, safe="")
        room -= len(encoded) + 2
        if room < 0:
            listed.append(f"and {len(names) - len(listed)} more")
            break
        listed.append(encoded)
    return ", ".join(listed)


def _failed(exchange: Exchange, answer: Answer, extra: list[tuple[str, str]]) -> WSGIApplication:
    """Return what the client gets for a failure of the API. Where it is a refusal of ours, it is so in every header."""
    response = exchange.failed(answer)
    if isinstance(response, Answer):
        return response.with_headers(extra)
    return _with_revision(response, exchange.point.revision)


def _with_revision(response: exc.WSGIHTTPException | Answer, revision: str) -> WSGIApplication:
    if isinstance(response, Answer):
        return response.with_headers([(REVISION_HEADER, revision)])
    if revision:
        response.headers[REVISION_HEADER] = revision
    return response
