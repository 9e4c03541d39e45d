"""Exact answers about policies, from their decision graphs alone: no files, no Oso, no request.

Constraints
    A *constraint* is a ``(Question, answer)`` pair, ``Among(fact, values)`` (the fact is one of these texts) or
    ``Except(fact, values)`` (it is none of them; nothing is fine). ``protect.policy.questions.question`` makes
    questions.

``satisfy(constraints, kind, action="x") -> Query | CannotSay | None``
    A query about a ``kind`` of resource for which every constraint holds, verified by asking each question of it; None
    is the proof that there is none; ``CannotSay(why)`` where neither could be found.

``topics(*policies, kinds=None) -> list[Topic]``
    What there is to ask: a ``Topic`` for each type of resource and action that one of the policies mentions, one for
    any other action, and for properties one for each class of names that they treat alike. ``Topic.attribute`` is
    true where the API's own attributes are meant, which ``Policy.forbidden`` decides instead of ``Policy.decide``.
    ``topic_of(policy, kind, action, name)`` is the one topic of an action (and of a property's name).

``paths(policy, topic, given=()) -> Iterator[Path]``
    Every way through the graph that some query can go: ``Path.constraints``, ``.outcome``, ``.rule`` (an index into
    ``policy.rules``) and ``.witness()``. Contradictory ways are left out. Exponential in the worst case: bound it.

``can(policy, topic, given=(), outcome=Outcome.ALLOWED) -> Query | CannotSay | None``
    A query that has this outcome under the constraints ``given``; None proves that there is none.

``outcomes(policy, topic, given=()) -> Found``
    Each outcome that is possible, with a witness; ``Found.proven`` is false where a part of the graph could not be
    seen.

``deciding_rules(policy) -> Found``
    The same for the indices of rules: a rule that is not among them, where ``proven``, can be taken out without
    changing a decision.

``compare(old, new, everything=False, only=None) -> Comparison``
    ``.differences``: a ``Difference`` for each topic and direction, with a verified counterexample (``.query``) and a
    sentence (``.sentence()``); ``.unproven``: the topics about which no more can be said. Empty both: the two policies
    decide every query alike.

``names(found_in=(), not_in=(), other_than=()) -> str | CannotSay | None``
    A text in which each of the patterns ``found_in`` is found and none of ``not_in``, or the proof that there is none.
    A pattern is a question's ``(Operator.MATCHES | Operator.SEARCHES, text)``.
"""

from __future__ import annotations

from protect.analysis.compare import Comparison, Difference, Direction, compare
from protect.analysis.constraints import Among, Constraint, Except
from protect.analysis.names import CannotSay, names
from protect.analysis.outcomes import Outcome
from protect.analysis.topics import Topic, topic_of, topics
from protect.analysis.walking import Found, Path, Witness, can, deciding_rules, outcomes, paths
from protect.analysis.worlds import holds, satisfy

__all__ = [
    "Among",
    "CannotSay",
    "Comparison",
    "Constraint",
    "Difference",
    "Direction",
    "Except",
    "Found",
    "Outcome",
    "Path",
    "Topic",
    "Witness",
    "can",
    "compare",
    "deciding_rules",
    "holds",
    "names",
    "outcomes",
    "paths",
    "satisfy",
    "topic_of",
    "topics",
]
