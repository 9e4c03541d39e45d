"""The decision endpoint as WSGI sees it: which route answers, who may ask, and what an error looks like."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from protect.errors import MalformedRequest
from protect.identity.guards import Unauthenticated
from protect.service.calls import AUTHORIZATION, Call, Limits, Reply, Route, Routes, text_reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("protect.service")

MAX_REQUEST_ID = 256  # characters

#: Returns the name of the service that asks, given the request and the header that proves it; raises Unauthenticated.
Guard = Callable[["WSGIEnvironment", str], str | None]

_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


#: Is told of every request: the path of its route, the status, and the seconds that it took.
Observe = Callable[[str, int, float], None]

#: The endpoint of a request that no route takes.
NOWHERE = "none"


class Service:
    """The decision endpoint. Every error becomes a reply: a plain sentence, and never a traceback."""

    def __init__(
        self,
        routes: Routes,
        *,
        guard: Guard,
        limits: Limits,
        observe: Observe = lambda endpoint, status, seconds: None,
    ) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._trees: list[Route] = []
        for route in routes:
            if route.tree:
                self._trees.append(route)
            else:
                self._exact.setdefault(route.path, {})[route.method] = route
        self._guard = guard
        self._limits = limits
        self._observe = observe

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start = perf_counter()
        reply, endpoint = self._reply(environ)
        headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
        request_id = environ.get("HTTP_X_REQUEST_ID")
        if request_id and len(request_id) <= MAX_REQUEST_ID:
            headers.append(("X-Request-ID", request_id))
        start_response(_STATUS[reply.status], headers)
        self._observe(endpoint, reply.status, perf_counter() - start)
        return [b""] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]

    def _reply(self, environ: WSGIEnvironment) -> tuple[Reply, str]:
        """Return the answer, and the path of the route that gave it."""
        endpoint = NOWHERE
        try:
            route, rest = self._find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            endpoint = route.path
            call = Call(environ, self._limits, rest)
            if route.guarded:
                try:
                    call.enforcement_point = self._guard(environ, route.credentials)
                except Unauthenticated as error:
                    return _unknown(route, error), endpoint
            return route.endpoint(call), endpoint
        except NotAllowed as error:
            return text_reply(str(error), error.status, (("Allow", error.allowed),)), endpoint
        except MalformedRequest as error:
            return text_reply(str(error), error.status), endpoint
        except Exception:
            log.exception("a request to %s failed", endpoint)
            return text_reply("internal error; the service's log says more", 500), endpoint

    def _find(self, method: str, path: str) -> tuple[Route, str]:
        """Return the route for a request; raises MalformedRequest (404) or NotAllowed (405)."""
        by_method = self._exact.get(path)
        if by_method is not None:
            route = by_method.get("GET" if method == "HEAD" else method)
            if route is None:
                raise NotAllowed(method, sorted(by_method))
            return route, ""
        trees = [route for route in self._trees if _in_tree(path, route.path)]
        for route in trees:
            if route.method in ("*", method):
                return route, path[len(route.path) :]
        if trees:
            raise NotAllowed(method, sorted(route.method for route in trees))
        raise MalformedRequest("there is nothing at this path", 404)


def _in_tree(path: str, root: str) -> bool:
    return path.startswith(root) and (root.endswith("/") or path[len(root) : len(root) + 1] in ("", "/"))


def _unknown(route: Route, error: Unauthenticated) -> Reply:
    """Return the answer to one who has not proved who it is."""
    if route.credentials != AUTHORIZATION:
        # A gateway passes it on to its client, whose own credentials are none of the trouble.
        log.error("refused a gateway's question to %s, as all of its clients will be: %s", route.path, error)
        return text_reply("the gateway in front of this API may not ask whether requests may pass", 403)
    log.warning("refused a request to %s: %s", route.path, error)
    return text_reply("who asks is not known here", 401, (("WWW-Authenticate", "Bearer"),))


class NotAllowed(MalformedRequest):
    """The path exists, but not with this method. ``allowed`` is the value of the Allow header."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"the method `{method[:20]}` is not allowed here; allowed: {self.allowed}", 405)
