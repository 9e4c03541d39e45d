"""One query on the command line: flags that a person can type, or an AuthZEN document on standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from protect import json_bodies
from protect.cli import policies
from protect.cli.streams import standard_input
from protect.errors import ConfigError, MalformedRequest
from protect.showing import visible

if TYPE_CHECKING:
    from protect.policy import Policy
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

#: What a resource can have, of those that have nothing else.
_OWN: Mapping[str, tuple[str, ...]] = {
    "property": ("value",),
    "member": ("status",),
    "location": ("url", "metadata"),
}
_SUBJECT = ("id", "tenant", "domain", "roles", "service_roles", "admin_project", "authenticated")
_OTHERS: Mapping[str, tuple[str, ...]] = {
    "task": ("type", "owner", "status", "input"),
    "store": (),
    "metadef": ("type", "namespace", "owner", "visibility"),
}
_TYPES = ("image", *_OWN, *_OTHERS)


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the flags of a query."""
    group = command.add_argument_group("the query")
    group.add_argument("--subject", metavar="SUBJECT", nargs="+", help="who asks: id=u,tenant=t,roles=member")
    group.add_argument("--action", metavar="NAME", help="what is to be done: download_image, update, …")
    group.add_argument(
        "--resource", metavar="RESOURCE", nargs="+", help="with what: image:ID owner=t visibility=private"
    )
    group.add_argument("--context", metavar="CONTEXT", nargs="+", default=[], help="the circumstances: store=fast")


def asked(chosen: argparse.Namespace) -> tuple[Query, Policy]:
    """Return the query and the policy that is asked, and warn of what is probably misspelt.

    Raises ConfigError, MalformedRequest and PolicyError.
    """
    paths = list(chosen.paths)
    query = read(chosen, paths)
    policy = policies.load(paths, policies.protection(chosen))
    warn(chosen, policy)
    return query, policy


def read(chosen: argparse.Namespace, paths: list[str]) -> Query:
    """Return the query. Takes `-` out of ``paths``. Raises ConfigError and MalformedRequest."""
    from protect.authzen.entities import NO_ENTITIES
    from protect.authzen.evaluations import query

    if "-" in paths:
        paths.remove("-")
        if chosen.subject or chosen.action or chosen.resource or chosen.context:
            raise ConfigError("`-` reads the whole query from standard input; leave the other flags out")
        given = standard_input("give an AuthZEN evaluation there")
        try:
            message = json_bodies.parse_object(given)
        except MalformedRequest as error:
            raise ConfigError(str(error).replace("the body", "standard input")) from None
        return query(message, NO_ENTITIES)
    missing = [flag for flag in ("subject", "action", "resource") if not getattr(chosen, flag)]
    if missing:
        wanted = ", ".join(f"--{flag}" for flag in missing)
        raise ConfigError(f"the query lacks {wanted}; or give `-` and an AuthZEN evaluation on standard input")
    written = document(chosen.subject, chosen.action, chosen.resource, chosen.context)
    if "id" in written["subject"]:
        return query(written, NO_ENTITIES)
    # On the wire a subject has an id; whoever types none means one without.
    from protect.authzen.subjects import GivenSubject

    asked = query({**written, "subject": {**written["subject"], "id": "nobody"}}, NO_ENTITIES)
    cast("GivenSubject", asked.subject).id = None  # type: ignore[assignment]
    return asked


def document(subject: Iterable[str], action: str, resource: Iterable[str], context: Iterable[str]) -> dict[str, Any]:
    """Return the flags as an AuthZEN evaluation. Raises ConfigError."""
    who = dict(_pairs(subject, "--subject"))
    first, *rest = resource
    named, *more = first.split(",")
    kind, _, id_ = named.partition(":")
    if not kind or "=" in kind:
        raise ConfigError(f"`{named}` is no resource; write its type and id first, such as image:ID")
    if not id_:
        raise ConfigError(f"`{named}` has no id; write its type and id, such as {kind}:ID")
    about: dict[str, Any] = {}
    for key, value in _pairs([*more, *rest], "--resource"):
        if key.startswith("image."):
            about.setdefault("image", {})[key.removeprefix("image.")] = value
        else:
            _check_own(kind, key, value)
            about[key] = value
    named_id = {"id": _text("id", who.pop("id"))} if "id" in who else {}
    return {
        "subject": {"type": "user", **named_id, "properties": who},
        "action": {"name": action},
        "resource": {"type": kind, "id": id_, "properties": _completed(kind, about)},
        "context": dict(_pairs(context, "--context")),
    }


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"the `{key}` of --subject is text that is not empty; leave it out for a subject without one")
    return value


def _check_own(kind: str, key: str, value: Any) -> None:
    """Raise ConfigError for what such a resource cannot have: left unread, it would seem to have been decided on."""
    own = _OWN.get(kind)
    # A member's tenant is its id; null says that nobody knows it.
    untold = kind == "member" and key == "tenant" and value is None
    if own is None or key in own or key == "image" or untold:
        return
    from protect.glance.attributes import CORE
    from protect.lint.known import misspelt

    near = f"image.{key}" if key in CORE | {"members"} else misspelt(key, own)
    meant = f"did you mean `{near}`? " if near else ""
    accepted = ", ".join(f"`{one}`" for one in own)
    raise ConfigError(
        f"a {kind} has no `{key}`; {meant}accepted: {accepted}, and of its image `image.owner`, `image.visibility`, …"
    )


def warn(chosen: argparse.Namespace, policy: Policy) -> None:
    """Say on standard error what in the flags is probably misspelt: as it stands it is a claim or a property."""
    for note in notes(chosen, policy):
        print(f"protect: note: {visible(note)}", file=sys.stderr)


def notes(chosen: argparse.Namespace, policy: Policy) -> Iterator[str]:
    """Yield what is probably misspelt, in words. Of a document on standard input nothing is said."""
    if not chosen.action:
        return
    from protect.glance.attributes import CORE
    from protect.lint.known import PROPERTIES, misspelt

    asked = document(chosen.subject, chosen.action, chosen.resource, chosen.context)
    resource = asked["resource"]
    kind, about = resource["type"], resource["properties"]
    yield from _action_notes(kind, chosen.action, policy)
    if kind not in _TYPES:
        near = misspelt(kind, _TYPES)
        meant = f"did you mean `{near}`?" if near else f"known are {', '.join(_TYPES)}"
        yield f"`{kind}` is no type of an image API: only rules about any resource decide; {meant}"
    image = about if kind == "image" else about.get("image")
    facts: list[tuple[str, Collection[str], Collection[str]]] = [
        ("a claim of the subject", asked["subject"]["properties"], _SUBJECT)
    ]
    if isinstance(image, dict):
        facts.append(("a property of the image", image, {*CORE, "members"} - {"self", "file", "schema"}))
    if kind in _OTHERS:
        facts.append((f"an attribute of the {kind}", about, _OTHERS[kind]))
    for taken_for, keys, known in facts:
        for key in keys:
            near = misspelt(key, known) if key not in known and key not in PROPERTIES else None
            if near:
                yield f"`{key}` is taken for {taken_for}; did you mean `{near}`?"


def _action_notes(kind: str, action: str, policy: Policy) -> Iterator[str]:
    from protect.lint.known import OPERATIONS, actions, misspelt

    table = policy.table
    of_properties = kind == "property"
    known = {*OPERATIONS, *table.properties} if of_properties else {*actions(), *(one for _, one in table.actions)}
    if action in known:
        return
    near = misspelt(action, known)
    meant = f"; did you mean `{near}`?" if near else ""
    if of_properties and not near:
        meant = f"; on a property it is one of {', '.join(OPERATIONS)}"
    yield f"neither the policy nor the API knows the action `{action}`{meant}"


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
            if key.removesuffix(":") and equals:
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
            return json_bodies.parse(text.encode())
        if name in _NUMBERS:
            return int(text)
    except (ValueError, MalformedRequest):
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
