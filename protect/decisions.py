"""The decision point as the enforcement point sees it: something that answers queries, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple, Protocol

from protect.values import Decision, Image, Query, Subject

Hide = Callable[[Image, AbstractSet[str]], AbstractSet[str]]


class Foresight(NamedTuple):
    """What can be said about reading before any image is known: the names that are hidden on every image, and on some.

    What is in neither may be read on every image.
    """

    always: frozenset[str]
    sometimes: frozenset[str]


class DecisionPoint(Protocol):
    """One loaded policy. It never changes: a reload makes another decision point."""

    @property
    def revision(self) -> str:
        """The hash of the policy; it is in every decision, log line and response."""
        ...

    def decide(self, query: Query) -> Decision:
        """Answer one query. Never raises: what cannot be evaluated is a denial with ``error`` set."""
        ...

    def deciding(self) -> Callable[[Query], Decision]:
        """Return ``decide`` for queries that differ by their resource only: what depends on the rest is decided once.

        Never raises. Not to be shared between threads.
        """
        ...

    def hidden(self, subject: Subject, context: Mapping[str, object]) -> Hide:
        """Return, once per request, ``hide(image, names)``: those among ``names`` that may not be read.

        For each name the question is ``read`` on ``Property(name, image, image.properties[name])``.
        """
        ...

    def forbidden(self, query: Query) -> Decision:
        """Answer by the `forbid` rules alone: allowed where none of them holds. Never raises.

        For attributes of the API: whoever may change the image may set them, but for what is forbidden.
        A denial with ``discard`` set is to be dropped. What cannot be evaluated is a denial with ``error`` set.
        """
        ...

    def foresee(
        self, subject: Subject, context: Mapping[str, object], names: AbstractSet[str], *, core: bool = False
    ) -> Foresight:
        """Say which of ``names`` the subject may not read whatever the image. Never raises.

        With ``core``, the names are attributes of the API, of which only `forbid` rules decide.
        """
        ...

    def mentioned(self) -> AbstractSet[str]:
        """Return the names of properties that the policy treats differently from one that it does not mention."""
        ...
