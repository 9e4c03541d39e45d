"""Evaluations on the wire: one query, or many that share what they do not say themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from protect.authzen.entities import Entities
from protect.authzen.fields import ACTION, ENTITY, action, optional_object, wrong, wrong_part
from protect.authzen.resources import resource
from protect.authzen.subjects import subject
from protect.errors import MalformedRequest
from protect.json_bodies import kind, printable
from protect.values import NOTHING, Query

Message = Mapping[str, object]
Part = TypeVar("Part")

#: Under this prefix rules find the action's properties among the circumstances: `context.get("action.soft")`.
ACTION_PREFIX = "action."

_ABSENT: Any = object()


class Semantic(StrEnum):
    """How far a batch goes on."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"


def query(message: Message, entities: Entities) -> Query:
    """Return the query that ``message`` asks; raises MalformedRequest."""
    name, properties = action(message.get("action"))
    return Query(
        subject(message.get("subject"), entities.subjects),
        name,
        resource(message.get("resource"), entities.resources),
        circumstances(message, properties),
    )


def circumstances(message: Message, action_properties: Message) -> Message:
    """Return the facts behind `context.get`: the message's context, and the properties of the action."""
    context = optional_object(message, "context")
    for key in context:
        if key.startswith(ACTION_PREFIX):
            # Else whoever fills in the context could say what only the action may say.
            raise MalformedRequest(f"`context` has the key `{printable(key)}`: `action.…` are the action's properties")
    if not action_properties:
        return context
    return {**context, **{ACTION_PREFIX + key: value for key, value in action_properties.items()}}


def semantic(message: Message) -> Semantic:
    """Return how far the batch ``message`` goes on; raises MalformedRequest."""
    value = optional_object(message, "options").get("evaluations_semantic", Semantic.EXECUTE_ALL)
    try:
        return Semantic(value)  # type: ignore[arg-type]
    except ValueError:
        given = f"`{printable(value)}`" if isinstance(value, str) else kind(value)
        raise MalformedRequest(
            f"`options.evaluations_semantic` must be one of {', '.join(Semantic)}, not {given}"
        ) from None


def items(message: Message) -> list[object]:
    """Return the evaluations of a batch, none for a message that is a single one; raises MalformedRequest."""
    found = message.get("evaluations", _ABSENT)
    if found is _ABSENT:
        return []
    if type(found) is not list:
        raise wrong("evaluations", "an array", found)
    return found


class Batch:
    """What the evaluations of one message have in common, read once.

    An evaluation's own subject, action or resource takes the place of the default as a whole; only a type, an id or a
    name that it leaves out is the default's.
    """

    def __init__(self, message: Message, entities: Entities) -> None:
        """Raises MalformedRequest for a default of the wrong type. One that is not complete may yet be completed."""
        self._message = message
        self._subjects, self._resources = entities.subjects, entities.resources
        self._shared = circumstances(message, NOTHING)
        for key, required in _REQUIRED.items():
            if error := _wrong_default(message, key, required):
                raise error
        # None where the message has none, or not all of it.
        self._subject = _complete(lambda: subject(message.get("subject"), self._subjects))
        self._resource = _complete(lambda: resource(message.get("resource"), self._resources))
        self._action = _complete(lambda: action(message.get("action")))
        self._context = circumstances(message, self._action[1]) if self._action else self._shared
        self._common = None
        if self._subject is not None and self._action is not None:
            self._common = self._subject, self._action[0], self._context

    def alike(self, item: object) -> Query | None:
        """Return the query of an item that names its resource and no more; None for any other one.

        Such queries differ by their resources only. Raises MalformedRequest.
        """
        if self._common is not None and type(item) is dict and len(item) == 1:
            value = item.get("resource")
            if type(value) is dict and "type" in value and "id" in value:
                who, name, context = self._common
                return Query(who, name, resource(value, self._resources), context)
        return None

    def query(self, item: object) -> Query:
        """Return the query that ``item`` asks; raises MalformedRequest."""
        if type(item) is not dict:
            raise wrong("evaluations[]", "objects", item)
        try:
            return self._query(item)
        except MalformedRequest:
            completed = self._completed(item)
            if completed == item:
                raise
            return self._query(completed)

    def _query(self, item: Message) -> Query:
        who = self._subject if "subject" not in item else None
        if who is None:
            who = subject(item.get("subject"), self._subjects)
        thing = self._resource if "resource" not in item else None
        if thing is None:
            thing = resource(item.get("resource"), self._resources)
        if "action" not in item and "context" not in item and self._action is not None:
            return Query(who, self._action[0], thing, self._context)
        does = self._action if "action" not in item else None
        name, properties = does or action(item.get("action"))
        if "context" in item:
            context = circumstances(item, properties)
        else:
            context = circumstances(self._message, properties) if properties else self._shared
        return Query(who, name, thing, context)

    def _completed(self, item: Message) -> Message:
        """Return ``item`` with the required texts that it leaves out, as far as the defaults have them."""
        completed = dict(item)
        for key, required in _REQUIRED.items():
            own, default = item.get(key, NOTHING), self._message.get(key)
            if isinstance(own, Mapping) and isinstance(default, dict):
                completed[key] = {**{part: default[part] for part in required if part in default}, **own}
        return completed


_REQUIRED: Mapping[str, tuple[str, ...]] = {"subject": ENTITY, "action": ACTION, "resource": ENTITY}


def _wrong_default(message: Message, key: str, required: tuple[str, ...]) -> MalformedRequest | None:
    if key not in message:
        return None
    value = message[key]
    return wrong_part(value, key, required) if isinstance(value, dict) else wrong(key, "an object", value)


def _complete(read: Callable[[], Part]) -> Part | None:
    try:
        return read()
    except MalformedRequest:
        return None
