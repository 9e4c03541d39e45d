"""Endpoints for gateways that ask before they pass a request of the Images API on: Envoy, nginx and Traefik.

Each tells of the client's request in its own way; what is decided is the same as in the filter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from protect.decisions import DecisionPoint
from protect.enforcement.filter import REVISION_HEADER, matched
from protect.enforcement.refusals import Refused, response_to
from protect.errors import MalformedRequest
from protect.glance.routes import Door
from protect.service.calls import TEXT, Call, Record, Reply, Route
from protect.service.enforceable import Gateway, Unenforceable, require
from protect.service.originals import circumstances, original, raw_target, split
from protect.service.rehearsal import Find, Given, NotGiven, given, rehearsal
from protect.upstream.answers import collect
from protect.upstream.subrequests import Unavailable
from protect.values import Decision, Query, Subject

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger("protect.service")

__all__ = ["Gateway", "found_in", "routes"]

ENVOY, NGINX, TRAEFIK = "/gateway/envoy", "/gateway/nginx", "/gateway/traefik"

#: The header in which the gateway proves itself: Authorization is the client's.
CREDENTIALS = "X_PROTECT_TOKEN"

#: What the filter would have answered, for gateways that pass on no other refusal than 401 and 403.
STATUS_HEADER = "X-Protect-Status"

#: A refusal is worded as its client wants it.
_WORDS: dict[str, dict[str, object]] = {
    kind: {"schema": {}} for kind in ("text/plain", "text/html", "application/json")
}

_REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 410, 411, 413, 415, 429, 431, 500, 502, 503})
#: Only nginx's question can be described: the others have every method, or every path behind theirs.
OPENAPI: dict[str, dict[str, object]] = {
    NGINX: {
        "get": {
            "operationId": "nginx",
            "summary": "Whether nginx may pass a request of the Images API on",
            "tags": ["gateways"],
            "parameters": [
                {
                    "name": name,
                    "in": "header",
                    "required": True,
                    "description": text,
                    "schema": {"type": "string", "pattern": pattern},
                }
                for name, text, pattern in (
                    ("X-Original-Method", "The client's method", "^[A-Z]{1,20}$"),
                    ("X-Original-URI", "The client's raw path and query", "^/[!-~]*$"),
                )
            ],
            "responses": {
                "204": {"description": "It may"},
                "401": {
                    "description": "It is not known who the client is",
                    "headers": {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
                    "content": _WORDS,
                },
                "403": {
                    "description": "It may not, or this gateway may not ask",
                    "headers": {
                        STATUS_HEADER: {
                            "description": "What the filter would have answered; missing where the gateway may not ask",
                            "schema": {"type": "string"},
                        }
                    },
                    "content": _WORDS,
                },
            },
        }
    }
}

_PASSED_ON = frozenset({"content-type", "allow", "accept-patch", "retry-after", "www-authenticate"})
_UNENFORCEABLE = b"The gateway in front of this API cannot carry out what the policy says of this request."


class Verdict(NamedTuple):
    """``status`` 200 lets the request pass."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def routes(
    *,
    policy: Callable[[], DecisionPoint],
    record: Record,
    identify: Callable[[WSGIEnvironment], Subject],
    gateway: Gateway = Gateway.STRICT,
    upstream: WSGIApplication | None = None,
    find: Callable[[str], Mapping[str, object] | None] | None = None,
    challenge: str = "Bearer",
) -> list[Route]:
    """Return the routes of the gateways.

    ``identify`` says who the client is. What is stored of an image ``upstream`` tells, the API that is asked with the
    client's own headers; where there is none, ``find`` (image id to document, None for one that it does not know);
    where there is neither, whatever asks for a fact of an image is refused. ``challenge`` is for a 401.
    """
    asked = _Asked(policy, record, identify, gateway, upstream, None if find is None else found_in(find), challenge)
    return [
        Route("*", ENVOY, asked.by_envoy, tree=True, credentials=CREDENTIALS),
        Route("GET", NGINX, asked.by_nginx, credentials=CREDENTIALS),
        Route("*", TRAEFIK, asked.by_traefik, tree=True, credentials=CREDENTIALS),
    ]


def found_in(find: Callable[[str], Mapping[str, object] | None]) -> Find:
    """Return what finds an image in documents that somebody keeps beside the API."""

    def one(image_id: str) -> Given:
        document = find(image_id)
        if document is None:
            raise NotGiven("the image is not known here")
        found = given({"id": image_id, **document})
        if found.document["id"] != image_id:
            raise NotGiven("the image that is known has another id")
        return found

    return one


class _Asked:
    def __init__(
        self,
        policy: Callable[[], DecisionPoint],
        record: Record,
        identify: Callable[[WSGIEnvironment], Subject],
        mode: Gateway,
        upstream: WSGIApplication | None,
        find: Find | None,
        challenge: str,
    ) -> None:
        self._policy = policy
        self._record = record
        self._identify = identify
        self._mode = mode
        self._upstream = upstream
        self._find = None if upstream is not None else find
        self._challenge = challenge

    def by_envoy(self, call: Call) -> Reply:
        """Envoy asks with the client's own method, and its path behind ours; a body where it is told to."""

        def read() -> WSGIEnvironment:
            environ = call.environ
            if not call.rest.startswith("/"):
                raise MalformedRequest("the gateway does not say which request it asks about")
            raw = raw_target(environ)
            if raw is None:
                path, query = call.rest, str(environ.get("QUERY_STRING", ""))
            else:
                prefix = str(environ.get("SCRIPT_NAME", "")) + ENVOY
                if not raw.startswith(prefix + "/"):
                    raise MalformedRequest("the path is spelled in another way than it was read")
                path, query = split(raw[len(prefix) :])
                if path != call.rest:
                    raise MalformedRequest("the path can be read in two ways")
            whole = call.header("X_ENVOY_AUTH_PARTIAL_BODY") != "true"
            return original(environ, environ["REQUEST_METHOD"], path, query, body=whole)

        return _reply(self._verdict(call, read))

    def by_nginx(self, call: Call) -> Reply:
        """nginx asks by GET, without a body, and knows no other refusal than 401 and 403."""
        verdict = self._verdict(call, lambda: _told(call, "X_ORIGINAL_METHOD", "X_ORIGINAL_URI", body=False))
        if verdict.status == 200:
            return Reply(b"", 204, verdict.headers)
        status = 401 if verdict.status == 401 else 403
        return _reply(Verdict(status, (*verdict.headers, (STATUS_HEADER, str(verdict.status))), verdict.body))

    def by_traefik(self, call: Call) -> Reply:
        """Traefik asks by GET, or by the client's method, with a body where it is told to, and passes on any answer."""
        return _reply(self._verdict(call, lambda: _told(call, "X_FORWARDED_METHOD", "X_FORWARDED_URI", body=True)))

    def _verdict(self, call: Call, read: Callable[[], WSGIEnvironment]) -> Verdict:
        """Return what becomes of the client's request. Never raises: a gateway must get an answer that it passes on."""
        revision = ""
        try:
            point = self._policy()
            revision = point.revision
            environ = read()
            self._require(call, environ, point)
        except Exception as error:
            return self._refusal(call.environ, error, revision)
        return Verdict(200, ((REVISION_HEADER, revision),))

    def _require(self, call: Call, environ: WSGIEnvironment, point: DecisionPoint) -> None:
        match = matched(environ)
        if match.route.door is Door.OPEN:
            return

        def tell(query: Query, decision: Decision) -> None:
            self._record(query, decision, call)

        x = rehearsal(
            environ,
            match,
            point=point,
            subject=self._identify(environ),
            context=circumstances(call.environ),
            tell=tell,
            find=self._find,
            upstream=self._upstream,
        )
        try:
            require(x, self._mode)
        except (Refused, Unavailable) as error:
            raise Refused(x.refusal(error)) from error
        except Unenforceable as error:
            # The client must not learn what is hidden, the operator must.
            log.warning(
                "refused at the gateway, though allowed: %s %s: %s", match.route.method, match.route.path, error
            )
            raise

    def _refusal(self, environ: WSGIEnvironment, error: Exception, revision: str) -> Verdict:
        headers: list[tuple[str, str]] = [(REVISION_HEADER, revision)] if revision else []
        if isinstance(error, Unenforceable):
            return Verdict(403, (*TEXT, *headers), _UNENFORCEABLE)
        answer = collect(response_to(error, environ), environ)
        # Whatever a refusal says, it must never be one that lets the request pass.
        status = answer.code if answer.code in _REFUSALS else 403
        headers += [(name, value) for name, value in answer.headers if name.lower() in _PASSED_ON]
        if status == 401 and not any(name.lower() == "www-authenticate" for name, _ in headers):
            headers.append(("WWW-Authenticate", self._challenge))
        return Verdict(status, tuple(headers), answer.body)


def _told(call: Call, method: str, uri: str, *, body: bool) -> WSGIEnvironment:
    """Return the client's request as the gateway tells it in headers; raises MalformedRequest."""
    named = call.header(method), call.header(uri)
    if named[0] is None or named[1] is None or call.rest:
        raise MalformedRequest("the gateway does not say which request it asks about")
    return original(call.environ, named[0], *split(named[1]), body=body)


def _reply(verdict: Verdict) -> Reply:
    return Reply(verdict.body, verdict.status, verdict.headers)
