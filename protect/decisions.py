"""The decision point as the enforcement point sees it: something that answers queries, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from protect.values import Decision, Image, Query, Subject

Hide = Callable[[Image, AbstractSet[str]], AbstractSet[str]]


class DecisionPoint(Protocol):
    """One loaded policy. It never changes: a reload makes another decision point."""

    @property
    def revision(self) -> str:
        """The hash of the policy; it is in every decision, log line and response."""
        ...

    def decide(self, query: Query) -> Decision:
        """Answer one query. Never raises: what cannot be evaluated is a denial with ``error`` set."""
        ...

    def hidden(self, subject: Subject, context: Mapping[str, object]) -> Hide:
        """Return, once per request, ``hide(image, names)``: those among ``names`` that may not be read.

        For each name the question is ``read`` on ``Property(name, image, image.properties[name])``.
        """
        ...
