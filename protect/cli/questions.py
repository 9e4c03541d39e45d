"""One query on the command line: flags that a person can type, or an AuthZEN document on standard input."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from protect.errors import ConfigError

if TYPE_CHECKING:
    from protect.values import Query

WORDS = """\
SUBJECT, RESOURCE and CONTEXT are words of the form key=value; a comma begins the next one, or the next item of a list
(roles=member,reader). key:=VALUE reads the value as JSON (size:=5, protected:=true). `-` in place of the flags reads
an AuthZEN evaluation from standard input.

  subject   id, tenant, domain, roles, service_roles, admin_project, authenticated; anything else is a claim
  resource  first its type and id (image:ID, property:NAME, member:TENANT, location:URL, task:ID, store:ID, …), then
            what it is like: owner, visibility, tags, members=TENANT:accepted, and properties under their own names;
            of the image behind a property, a member or a location with `image.` before the name (image.owner=t)
  context   api_version, remote_address, store, import_method, …
"""

_LISTS = ("roles", "service_roles", "tags")
_NUMBERS = ("size", "min_disk", "min_ram")
_FLAGS = ("protected", "os_hidden", "admin_project", "authenticated")
_RENAMED = {"hidden": "os_hidden"}


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the flags of a query."""
    group = command.add_argument_group("the query")
    group.add_argument("--subject", metavar="SUBJECT", nargs="+", help="who asks: id=u,tenant=t,roles=member")
    group.add_argument("--action", metavar="NAME", help="what is to be done: download_image, update, …")
    group.add_argument(
        "--resource", metavar="RESOURCE", nargs="+", help="with what: image:ID owner=t visibility=private"
    )
    group.add_argument("--context", metavar="CONTEXT", nargs="+", default=[], help="the circumstances: store=fast")


def read(chosen: argparse.Namespace, paths: list[str]) -> Query:
    """Return the query. Takes `-` out of ``paths``. Raises ConfigError and MalformedRequest."""
    from protect.authzen.entities import NO_ENTITIES
    from protect.authzen.evaluations import query
    from protect.json_bodies import parse_object

    if "-" in paths:
        paths.remove("-")
        if chosen.subject or chosen.action or chosen.resource or chosen.context:
            raise ConfigError("`-` reads the whole query from standard input; leave the other flags out")
        return query(parse_object(sys.stdin.buffer.read()), NO_ENTITIES)
    missing = [flag for flag in ("subject", "action", "resource") if not getattr(chosen, flag)]
    if missing:
        wanted = ", ".join(f"--{flag}" for flag in missing)
        raise ConfigError(f"the query lacks {wanted}; or give `-` and an AuthZEN evaluation on standard input")
    return query(document(chosen.subject, chosen.action, chosen.resource, chosen.context), NO_ENTITIES)


def document(subject: Iterable[str], action: str, resource: Iterable[str], context: Iterable[str]) -> dict[str, Any]:
    """Return the flags as an AuthZEN evaluation. Raises ConfigError."""
    who = dict(_pairs(subject, "--subject"))
    first, *rest = resource
    named, *more = first.split(",")
    kind, _, id_ = named.partition(":")
    if not kind or "=" in kind:
        raise ConfigError(f"`{named}` is no resource; write its type and id first, such as image:ID")
    about: dict[str, Any] = {}
    for key, value in _pairs([*more, *rest], "--resource"):
        if key.startswith("image."):
            about.setdefault("image", {})[key.removeprefix("image.")] = value
        else:
            about[key] = value
    return {
        "subject": {"type": "user", "id": str(who.pop("id", "")), "properties": who},
        "action": {"name": action},
        "resource": {"type": kind, "id": id_, "properties": _completed(kind, about)},
        "context": dict(_pairs(context, "--context")),
    }


def _completed(kind: str, about: dict[str, Any]) -> Mapping[str, Any]:
    """Say that a shared image has no members where none are named: whoever types an image, types all of it."""
    image = about if kind == "image" else about.get("image")
    if isinstance(image, dict) and image.get("visibility") == "shared":
        image.setdefault("members", {})
    return about


def _pairs(words: Iterable[str], flag: str) -> Iterator[tuple[str, Any]]:
    found: dict[str, list[str]] = {}
    last = ""
    for word in words:
        for part in word.split(","):
            key, equals, value = part.partition("=")
            if equals:
                last = _renamed(key)
                if last in found:
                    raise ConfigError(f"`{key}` of {flag} is there twice; keep one of them")
                found[last] = [value]
            elif last and part:
                found[last].append(part)
            else:
                raise ConfigError(f"`{part}` of {flag} cannot be understood; write key=value")
    for key, values in found.items():
        yield key.removesuffix(":"), _value(key, values, flag)


def _renamed(key: str) -> str:
    before, dot, name = key.rpartition(".")
    return before + dot + _RENAMED.get(name, name)


def _value(key: str, values: list[str], flag: str) -> Any:
    text = ",".join(values)
    name = key.rpartition(".")[2]
    try:
        if key.endswith(":"):
            return json.loads(text)
        if name in _NUMBERS:
            return int(text)
    except ValueError:
        raise ConfigError(
            f"`{text}` is not what `{key.removesuffix(':')}` of {flag} takes; write a number, or JSON"
        ) from None
    if name in _FLAGS:
        if text not in ("true", "false"):
            raise ConfigError(f"`{text}` is not what `{key}` of {flag} takes; write true or false")
        return text == "true"
    if name in _LISTS:
        return [value for value in values if value]
    if name == "members":
        return dict(_member(value) for value in values if value)
    return text


def _member(written: str) -> tuple[str, str]:
    tenant, _, status = written.partition(":")
    return tenant, status or "accepted"
