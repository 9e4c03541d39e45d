"""Refusals: what a client gets for a denial, for a request that is malformed, and for an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from webob import exc

from protect.errors import MalformedRequest, ProtectError
from protect.glance.documents import UnexpectedDocument
from protect.glance.patches import MEDIA_TYPES, UnsupportedMediaType
from protect.glance.routes import MethodNotAllowed
from protect.upstream.answers import Answer
from protect.upstream.subrequests import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger("protect.enforcement")


class Refused(ProtectError):
    """The request stops here. ``response`` is what the client gets."""

    def __init__(self, response: exc.WSGIHTTPException | Answer) -> None:
        self.response = response
        super().__init__("refused")


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


def without_counts(answer: Answer) -> Answer:
    """Return a failure of the API, in our own words where its own count properties that may be hidden."""
    if answer.code != 413:
        return answer
    told = answer.with_body(b"The image has reached one of the limits that this service sets.")
    return told.with_headers([("Content-Type", "text/plain; charset=UTF-8")])


def response_to(error: Exception, environ: WSGIEnvironment) -> exc.WSGIHTTPException | Answer:
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
    if isinstance(error, UnsupportedMediaType):
        response.headers["Accept-Patch"] = ", ".join(MEDIA_TYPES)
    return response
