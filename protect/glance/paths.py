"""Paths in the one spelling that is accepted, so that no alias of a path can get another decision."""

from __future__ import annotations

import re
from typing import NamedTuple

from protect.errors import MalformedRequest

_VERSION = re.compile(r"v2(\.[0-9]{1,2})?\Z")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# What nearly every request asks for, in letters that have one spelling.
_ORDINARY = re.compile(r"/v2((?:/[A-Za-z0-9_-]+)+)\Z")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}\Z")


class ApiPath(NamedTuple):
    """A path of the API. ``base`` is what precedes ``segments`` in PATH_INFO (``/v2``, or nothing)."""

    base: str
    segments: tuple[str, ...]

    def inside(self, *segments: str) -> str:
        """Return the PATH_INFO of another resource of the same API."""
        return "/".join((self.base, *segments))


def api_path(script_name: str, path_info: str) -> ApiPath:
    """Return the API path in a WSGI environment (both parts are latin-1 decoded bytes).

    ``/v2.0`` to ``/v2.99`` are other names of ``/v2``; the version may stand in SCRIPT_NAME. Raises
    MalformedRequest: 400 for a spelling that is never accepted, 404 for a path that is not of this API.
    """
    ordinary = _ORDINARY.match(path_info) if script_name == "" else None
    if ordinary is not None:
        return ApiPath("/v2", tuple(ordinary[1][1:].split("/")))
    text = _decoded(path_info)
    if text in ("", "/"):
        return ApiPath("", ())
    if not text.startswith("/"):
        raise MalformedRequest("the path does not start with a slash")
    mounted = script_name != "" and _VERSION.match(_decoded(script_name).rpartition("/")[2]) is not None
    segments = tuple(text[1:].split("/"))
    if mounted:
        return ApiPath("", _canonical(segments))
    if segments in (("versions",), ("healthcheck",)):
        # What stands beside the API and is asked before anybody has a token.
        return ApiPath("", ())
    if not _VERSION.match(segments[0]):
        _canonical(segments)
        raise MalformedRequest("the resource could not be found; paths of the image API start with `/v2`", status=404)
    if segments[1:] == ("",):
        # Clients that look for versions ask `/v2/`.
        return ApiPath(f"/{segments[0]}", ())
    return ApiPath(f"/{segments[0]}", _canonical(segments[1:]))


def is_identifier(segment: str) -> bool:
    """Tell whether ``segment`` can be an image's id.

    Databases that compare without case find an image by an upper-case spelling of its id as well, and a rule
    about that id would then be avoided.
    """
    return _IDENTIFIER.match(segment) is not None


def _decoded(path: str) -> str:
    try:
        text = path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise MalformedRequest("the path is not UTF-8") from None
    if not text.isprintable():
        # isprintable() also refuses separators other than the plain space, and unassigned characters.
        raise MalformedRequest("the path has a control character or an invisible one")
    if "\\" in text:
        raise MalformedRequest("the path has a backslash")
    if _ESCAPE.search(text):
        raise MalformedRequest("the path is percent-encoded twice, or has an encoded slash")
    return text


def _canonical(segments: tuple[str, ...]) -> tuple[str, ...]:
    if segments and segments[-1] == "" and "" not in segments[:-1]:
        raise MalformedRequest("the resource could not be found; leave out the slash at the end", status=404)
    for segment in segments:
        if segment == "":
            raise MalformedRequest("the path has two slashes in a row")
        if segment in (".", ".."):
            raise MalformedRequest("the path has a `.` or `..` segment")
        if segment != segment.strip():
            raise MalformedRequest("the path has a segment that starts or ends with a space")
    return segments
