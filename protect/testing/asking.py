"""What a policy answers to one query, and which of its rules says so."""

from __future__ import annotations

from protect.analysis.outcomes import Choice, End, Fork, Outcome, Outcomes
from protect.analysis.topics import topic_of
from protect.policy.policy import Policy
from protect.policy.questions import asker
from protect.policy.vocabulary import reader
from protect.testing.suites import Answer
from protect.values import Decision, Explanation, Property, Query


def decide(policy: Policy, query: Query, *, attribute: bool = False) -> Decision:
    """Decide as the service does: an attribute of the API is asked of ``forbid`` rules alone."""
    return policy.forbidden(query) if attribute else policy.decide(query)


def answer(decision: Decision) -> Answer:
    """Return the decision as a test names it."""
    if decision.allowed:
        return Answer.ALLOW
    if decision.error:
        return Answer.ERROR
    return Answer.DISCARD if decision.discard else Answer.DENY


class Asker:
    """One policy, asked for answers and for the rules behind them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._outcomes = Outcomes(rules=True)

    def answer(self, query: Query, *, attribute: bool = False) -> Answer:
        """Return what the policy answers."""
        return answer(decide(self.policy, query, attribute=attribute))

    def rule(self, query: Query, *, attribute: bool = False) -> int | None:
        """Return the index of the rule that decides; None where no rule holds."""
        resource = query.resource
        name = resource.name if isinstance(resource, Property) else None
        topic = topic_of(self.policy, resource.kind, query.action, name, attribute=attribute)
        step = topic.step(self.policy, self._outcomes)
        while not isinstance(step, End):
            if isinstance(step, Fork):
                step = step.yes if asker(step.question)(query) else step.no
            elif isinstance(step, Choice):
                step = step.cases.get(reader(step.fact)(query), step.otherwise)
        if step.outcome is not Outcome.UNSEEN:
            return step.rule
        rule = self.policy.explain(query).rule
        return self.policy.rules.index(rule) if rule is not None else None

    def explain(self, query: Query) -> Explanation:
        """Return why."""
        return self.policy.explain(query)
