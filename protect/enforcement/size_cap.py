"""The cap on the size of an upload: counted while it streams, answered with 413."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from webob import Request, exc

from protect.errors import MalformedRequest
from protect.upstream.answers import close
from protect.upstream.bodies import Capped, declared_length

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def capped(app: WSGIApplication, environ: WSGIEnvironment, cap: int) -> WSGIApplication:
    """Return an app that answers 413 for an upload of more than ``cap`` bytes.

    Raises MalformedRequest at once where the request says so itself.
    """
    message = f"the image is larger than {cap} bytes"
    declared = declared_length(environ)
    if declared is not None and declared > cap:
        raise MalformedRequest(message, 413)
    if declared is None and "uwsgi.version" in environ:
        # There the API reads a chunked body past us, where we cannot count.
        raise MalformedRequest("an upload needs a Content-Length", 411)
    body = environ["wsgi.input"] = Capped(environ["wsgi.input"], cap)
    # The stream before could perhaps be rewound; this one cannot.
    environ.pop("webob.is_body_seekable", None)

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        too_large = exc.HTTPRequestEntityTooLarge(message)
        try:
            status, headers, chunks, failure = Request(environ).call_application(app, catch_exc_info=True)
        except Exception:
            if body.exceeded:
                return too_large(environ, start_response)
            raise
        if body.exceeded:
            close(chunks)
            return too_large(environ, start_response)
        start_response(status, headers, failure)
        return chunks

    return run
