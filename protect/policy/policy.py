"""The decision point: a loaded policy that answers queries. Knows nothing of Polar, files, HTTP or the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from protect.decisions import Foresight
from protect.policy.alike import NEW, Combinations, Key, key_of
from protect.policy.explanation import explain
from protect.policy.graph import NO, Leaf, Node, differs_by_property, every, walk_subject
from protect.policy.growth import Counts, PathTree
from protect.policy.vocabulary import RESOURCE, Fact
from protect.values import Decision, Explanation, Image, Property, Query, Rule, Subject

log = logging.getLogger("protect.policy")

_OF_IMAGE = (*RESOURCE, "image")
_NONE: frozenset[str] = frozenset()
_ALL_SHOWN = Foresight(_NONE, _NONE)


class Unexplored(Exception):
    """A saved policy is asked about a path that its compiler never reached."""


@dataclass(slots=True)
class Graphs:
    """The three entry points for one action on one type of resource (and one property name)."""

    forbid: Node = NO
    allow: Node = NO
    discard: Node = NO

    def roots(self) -> tuple[Node, Node, Node]:
        """Return the three graphs in the order in which they are asked."""
        return self.forbid, self.allow, self.discard

    def all(self) -> tuple[Graphs, ...]:
        """Return itself: one, where ``ByName`` has many."""
        return (self,)


@dataclass(slots=True)
class ByName:
    """The graphs of one action on properties: by name where the policy tells names apart, else ``other``.

    ``same`` answers for a name equal to the action, where the interview knew the action only as one of many.
    """

    other: Graphs
    names: dict[str, Graphs] = field(default_factory=dict)
    same: Graphs | None = None

    def find(self, action: str, name: str) -> Graphs:
        """Return the graphs for one property name."""
        if self.same is not None and name == action:
            return self.same
        found = self.names.get(name)
        return found if found is not None else self.other

    def all(self) -> tuple[Graphs, ...]:
        """Return the graphs of every name."""
        return (self.other, *self.names.values(), *([self.same] if self.same else []))


@dataclass(slots=True)
class Table:
    """All graphs of a policy, by type of resource and action; ``other`` is for actions that it does not mention.

    ``leaves_actions``: the policy is about properties alone. What it allows without a rule is left to the API behind.
    """

    actions: dict[tuple[str, str], Graphs] = field(default_factory=dict)
    other: dict[str, Graphs] = field(default_factory=dict)
    properties: dict[str, ByName] = field(default_factory=dict)
    other_properties: ByName = field(default_factory=lambda: ByName(Graphs()))
    leaves_actions: bool = False

    def all(self) -> Iterator[Graphs]:
        """Yield every entry."""
        yield from self.actions.values()
        yield from self.other.values()
        for by_name in (*self.properties.values(), self.other_properties):
            yield from by_name.all()


class Policy:
    """A loaded policy. Made by ``Policy.load``; holds nothing that changes but counters and remembered paths.

    ``errors`` counts denials because the policy or a fact could not be evaluated.
    """

    def __init__(
        self,
        table: Table,
        *,
        revision: str,
        rules: Sequence[Rule],
        growth: Counts | None = None,
        warnings: Iterable[str] = (),
    ) -> None:
        self.table = table
        self.revision = revision
        self.rules = tuple(rules)
        self.growth = growth or Counts(room=0)
        self.warnings = tuple(warnings)
        self.errors = 0
        self._denied: dict[tuple[str, str], Decision] = {}
        self._unforbidden = Decision(True, "no rule forbids it", revision)
        #: By identity, which is safe: the nodes live as long as the table.
        self._by_property: dict[int, bool] = {}
        self._keys: dict[tuple[Fact, tuple[int, ...]], Key] = {}
        self._reads = table.properties.get("read", table.other_properties)
        self._forbids_reading = any(graphs.forbid is not NO for graphs in self._reads.all())
        self._reads_alike = self._tells_no_names_apart(self._reads)
        #: The names of properties that have `read` graphs of their own.
        self.read_by_name = frozenset((*self._reads.names, *(("read",) if self._reads.same else ())))
        self._settle()

    @classmethod
    def load(
        cls, paths: Iterable[str] | None = None, *, protection_format: str = "roles", policy_rules: str | None = None
    ) -> Policy:
        """Load ``.polar`` files, directories of them, Glance's protection files, or one saved policy; without
        ``paths``, the shipped rules.

        ``.conf`` files are read one after the other, as if they were one. Alone they decide on properties only;
        beside ``.polar`` files they narrow what those allow. ``protection_format`` is ``roles`` or ``policies``;
        ``policy_rules`` is the path of the ``policy.yaml`` that the latter refers to.

        Raises PolicyError, which lists every problem found. Where none of the paths exists, the shipped rules are
        loaded, with a warning; where only some do, that is a problem.
        """
        # Only loading needs the compiler, and with it Oso: a saved policy is loaded and decides without either.
        from protect.loading import Protection, load

        return load(paths, Protection(protection_format, policy_rules))

    def decide(self, query: Query) -> Decision:
        """Answer one query. Never raises: what cannot be evaluated is denied, counted and logged."""
        try:
            graphs = self._find(query)
            if graphs.forbid is not NO:
                leaf = self._leaf(graphs.forbid, query)
                if leaf.holds:
                    return self._refusal(graphs, query, leaf.decision)
            leaf = self._leaf(graphs.allow, query)
            if leaf.holds:
                return leaf.decision  # type: ignore[no-any-return]
            return self._refusal(graphs, query, self._denial(query) if leaf.decision is None else leaf.decision)
        except Exception as error:
            return self._failed(query, error)

    def forbidden(self, query: Query) -> Decision:
        """Answer by the ``forbid`` rules alone: allowed where none of them holds. Never raises.

        As in ``decide``, ``discard`` drops what is forbidden and nothing else.
        """
        try:
            graphs = self._find(query)
            if graphs.forbid is not NO:
                leaf = self._leaf(graphs.forbid, query)
                if leaf.holds:
                    return self._refusal(graphs, query, leaf.decision)
            return self._unforbidden
        except Exception as error:
            return self._failed(query, error)

    def deciding(self) -> Callable[[Query], Decision]:
        """Return ``decide`` for queries that differ by their resource only: what depends on the rest is decided once.

        Never raises. Not to be shared between threads.
        """
        return _Decider(self).decide

    def explain(self, query: Query) -> Explanation:
        """Return the decision with the questions that led to it, and for a denial the rules that came nearest."""
        decision = self.decide(query)
        if decision.error:
            return Explanation(decision)
        graphs = self._find(query)
        return explain(decision, graphs.roots(), query, self.rules, self._leaf)

    def hidden(
        self, subject: Subject, context: Mapping[str, object]
    ) -> Callable[[Image, AbstractSet[str]], AbstractSet[str]]:
        """Return a function that says which of an image's named properties ``subject`` may not read.

        What depends on the subject alone is decided once here, so that a list of thousands of images costs a look at
        the remaining questions each. A property that cannot be evaluated is hidden.
        """
        if self._reads_alike:
            return _AlikeReads(self, subject, context, self._reads.other).hidden
        return _NamedReads(self, subject, context, self._reads).hidden

    def foresee(
        self, subject: Subject, context: Mapping[str, object], names: AbstractSet[str], *, core: bool = False
    ) -> Foresight:
        """Say which of the properties ``names`` the subject can read on no image, and which not on every image."""
        always, sometimes = set(), set()
        if core and not self._forbids_reading:
            return _ALL_SHOWN
        for name in names:
            # No image: what is walked here asks about the subject, the circumstances and the name only.
            query = Query(subject, "read", Property(name, None, core=core), context)  # type: ignore[arg-type]
            graphs = self._find(query)
            if core and graphs.forbid is NO:
                continue
            forbid, allow = self._ahead(graphs, query)
            if _ends(forbid, holds=True) or (not core and _ends(allow, holds=False)):
                always.add(name)
            elif not (_ends(forbid, holds=False) and (core or _ends(allow, holds=True))):
                sometimes.add(name)
        return Foresight(frozenset(always), frozenset(sometimes))

    def mentioned(self) -> AbstractSet[str]:
        """Return the names of properties that the policy treats differently from one that it does not mention."""
        return {name for by_name in self.table.properties.values() for name in by_name.names}

    def _ahead(self, graphs: Graphs, query: Query) -> tuple[Any, Any]:
        """Return how far the subject alone decides whether a property is readable."""
        forbid, allow = graphs.forbid, graphs.allow
        try:
            return forbid if forbid is NO else walk_subject(forbid, query), walk_subject(allow, query)
        except Exception:
            return graphs.forbid, graphs.allow

    def _failed(self, query: Query, error: Exception) -> Decision:
        # For any exception: a fact that cannot be read must never be the reason for a yes.
        self.errors += 1
        log.warning("cannot evaluate the policy for `%s`: %s", query_action(query), type(error).__name__)
        return Decision(False, "the policy could not be evaluated", self.revision, error=True)

    def _find(self, query: Query) -> Graphs:
        resource = query.resource
        kind = resource.kind
        if kind == "Property":
            by_name = self.table.properties.get(query.action, self.table.other_properties)
            return by_name.find(query.action, resource.name)  # type: ignore[union-attr,arg-type]
        found = self.table.actions.get((kind, query.action))
        return found if found is not None else self.table.other.get(kind) or Graphs()

    def _leaf(self, node: Any, query: Query) -> Leaf:
        while (ask := node.ask) is not None:
            node = node.branches[ask(query)]
        leaf: Leaf = node
        if leaf.explored:
            return leaf
        if not isinstance(leaf.growth, PathTree):
            raise Unexplored
        return leaf.growth.leaf(query)

    def _refusal(self, graphs: Graphs, query: Query, refused: Decision) -> Decision:
        """Return the decision to drop what is asked about, where a rule says so, else ``refused``."""
        if graphs.discard is NO:
            return refused
        leaf = self._leaf(graphs.discard, query)
        return leaf.decision if leaf.holds else refused

    def _denial(self, query: Query) -> Decision:
        key = (query.resource.kind, query.action)
        denied = self._denied.get(key)
        if denied is None:
            kind = "property" if key[0] == "Property" else key[0].lower()
            denied = Decision(False, f"no rule allows `{key[1]}` on this {kind}", self.revision)
            # Actions come from requests too: remember those that the policy knows, and no others.
            if key in self.table.actions or key[1] in self.table.properties:
                self._denied[key] = denied
        return denied

    def by_property(self, node: Any) -> bool:
        """Whether two properties of one image can end differently below ``node``."""
        known = self._by_property.get(id(node))
        if known is None:
            known = self._by_property[id(node)] = differs_by_property(node)
        return known

    def _tells_no_names_apart(self, by_name: ByName) -> bool:
        other = by_name.other
        return not (by_name.names or by_name.same or self.by_property(other.forbid) or self.by_property(other.allow))

    def combinations(self, of: Fact, *roots: Node) -> Combinations[Any]:
        """Return an empty memory of what comes of some graphs, by the facts of the thing that ``of`` leads to."""
        # Which facts decide is found once: it is a walk over everything that the graphs ask.
        which = of, tuple(map(id, roots))
        key = self._keys.get(which)
        if key is None:
            key = self._keys[which] = key_of(of, *roots)
        return Combinations(of, key)

    def settle(self, leaf: Leaf, entry: str) -> Leaf:
        """Give a leaf the decision that it stands for."""
        if leaf.holds and leaf.decision is None:
            words = {"allow": "allowed", "forbid": "forbidden", "discard": "dropped"}[entry]
            leaf.decision = Decision(
                entry == "allow", self._reason(words, leaf.rule), self.revision, discard=entry == "discard"
            )
        elif entry == "allow" and leaf.rule is not None and leaf.decision is None:
            # Not every denial is for want of a rule: a section of a protection file names who may, and so refuses.
            leaf.decision = Decision(False, self._reason("refused", leaf.rule), self.revision)
        return leaf

    def _reason(self, words: str, rule: int | None) -> str:
        if rule is None:
            return "left to the API" if self.table.leaves_actions else f"{words} by a rule"
        by = self.rules[rule]
        return f"{words} by {by}" if by.line else f"{words} by {by.file}: {by.head}"

    def _settle(self) -> None:
        for index, entry in enumerate(("forbid", "allow", "discard")):
            for node in every(*(graphs.roots()[index] for graphs in self.table.all())):
                if isinstance(node, Leaf):
                    self.settle(node, entry)


def query_action(query: Query) -> str:
    """Return the action for a log line, whatever it is that was asked."""
    return str(getattr(query, "action", "?"))


def _ends(node: Any, *, holds: bool) -> bool:
    """Whether a walk has ended, and with this answer."""
    return isinstance(node, Leaf) and node.explored and node.holds is holds


class _Decider:
    """The decisions of one subject, for one action in one set of circumstances."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kinds: dict[str, Combinations[Decision] | None] = {}

    def decide(self, query: Query) -> Decision:
        try:
            resource = query.resource
            kind = resource.kind
            if kind == "Property" or kind not in self._kinds:
                self._kinds[kind] = None
                return self._policy.decide(query)  # the first, or a property: no two have the same name
            alike = self._kinds[kind]
            if alike is None:
                roots = self._policy._find(query).roots()
                alike = self._kinds[kind] = self._policy.combinations(RESOURCE, *roots)
            key = alike.key(resource)
            found = alike.known.get(key, NEW)
            if found is not None and found is not NEW:
                return found  # type: ignore[no-any-return]
        except Exception:
            # Perhaps the policy does not even ask for what cannot be read.
            return self._policy.decide(query)
        decision = self._policy.decide(query)
        if found is NEW and not decision.error:
            alike.remember(key, decision, query, *self._policy._find(query).roots())
        return decision


@dataclass(slots=True)
class _Verdict:
    """How far the subject alone decides whether the properties ``names`` are readable, and what came of that so far."""

    forbid: Any
    allow: Any
    names: set[str] = field(default_factory=set)
    met: bool = False
    alike: Combinations[bool] | None = None


_Shape = tuple[list[tuple[_Verdict, AbstractSet[str]]], AbstractSet[str]]


class _Unnamed:
    """A property of an image, where neither its name nor its value matters."""

    __slots__ = ("image",)

    kind = "Property"
    core = False
    image: Image


class _Reads:
    """The `read` decisions of one request. Not shared between threads."""

    def __init__(self, policy: Policy, subject: Subject, context: Mapping[str, object]) -> None:
        self._policy = policy
        #: Made once and pointed at image after image: nothing that is walked keeps it.
        self._unnamed = _Unnamed()
        self._query = Query(subject, "read", self._unnamed, context)  # type: ignore[arg-type]

    def _readable(self, verdict: _Verdict, image: Image, name: str | None = None) -> bool:
        """Whether ``name`` is readable; None stands for all the names of ``verdict``, which no question asks for."""
        alike, found = verdict.alike, None
        if alike is None and verdict.met:
            alike = verdict.alike = self._policy.combinations(_OF_IMAGE, verdict.forbid, verdict.allow)
        verdict.met = True
        try:
            if alike is not None:
                key = alike.key(image)
                found = alike.known.get(key, NEW)
                if found is not None and found is not NEW:
                    return found  # type: ignore[no-any-return]
        except Exception:
            found = None  # perhaps the policy does not even ask for what cannot be read
        try:
            query = self._query
            if name is not None:
                subject, action, _, context = query
                query = Query(subject, action, Property(name, image, image.properties.get(name)), context)
            else:
                self._unnamed.image = image
            leaf_of = self._policy._leaf
            forbidden = verdict.forbid is not NO and leaf_of(verdict.forbid, query).holds
            readable = not forbidden and leaf_of(verdict.allow, query).holds
            if alike is not None and found is NEW:
                alike.remember(key, readable, query, verdict.forbid, verdict.allow)
            return readable
        except Exception as error:
            self._policy.errors += 1
            log.warning("cannot evaluate the policy for `read` of a property: %s", type(error).__name__)
            return False


class _AlikeReads(_Reads):
    """Where the policy tells no name from another: one decision for all that an image has."""

    def __init__(self, policy: Policy, subject: Subject, context: Mapping[str, object], graphs: Graphs) -> None:
        super().__init__(policy, subject, context)
        self._one_for_all = _Verdict(*policy._ahead(graphs, self._query))

    def hidden(self, image: Image, names: AbstractSet[str]) -> AbstractSet[str]:
        return _NONE if self._readable(self._one_for_all, image) else names


class _NamedReads(_Reads):
    """Names whose graphs come to the same remaining questions are decided together, once for each image."""

    def __init__(self, policy: Policy, subject: Subject, context: Mapping[str, object], by_name: ByName) -> None:
        super().__init__(policy, subject, context)
        self._by_name = by_name
        other = by_name.other
        self._others_alike = not (policy.by_property(other.forbid) or policy.by_property(other.allow))
        #: Every name seen so far: clear ones are readable on every image, alike ones are in a verdict together,
        #: and the rest differ by their name or value.
        self._known: set[str] = set()
        self._clear: set[str] = set()
        self._alike: dict[tuple[int, int], _Verdict] = {}
        self._apart: dict[str, _Verdict] = {}
        self._shapes: dict[AbstractSet[str], _Shape] = {}
        #: Which of these sets the names of one pair of graphs belong to, where no question asks for a name.
        self._settled: dict[tuple[int, int], set[str]] = {}

    def hidden(self, image: Image, names: AbstractSet[str]) -> AbstractSet[str]:
        # The images of a list have few different sets of names, and a frozen set remembers its hash.
        same = self._shapes.get(names) if isinstance(names, frozenset) else None
        alike, apart = same or self._shape(names)
        hidden: AbstractSet[str] = _NONE
        for verdict, together in alike:
            if not self._readable(verdict, image):
                hidden = hidden | together
        if apart:
            hidden = hidden | {name for name in apart if not self._readable(self._apart[name], image, name)}
        return hidden

    def _shape(self, names: AbstractSet[str]) -> _Shape:
        """Return which of ``names`` are decided together, and which each for itself; not those readable anyway."""
        unknown = names - self._known
        others = unknown - self._policy.read_by_name if self._others_alike else _NONE
        if others:
            self._meet(others)
        for name in unknown - others:
            self._meet({name})
        alike = [(verdict, names & verdict.names) for verdict in self._alike.values()]
        shape = [(verdict, together) for verdict, together in alike if together], names & self._apart.keys()
        if isinstance(names, frozenset):
            self._shapes[names] = shape
        return shape

    def _meet(self, names: AbstractSet[str]) -> None:
        """Sort in ``names`` that no question tells apart, which have the same graphs."""
        name = next(iter(names))
        graphs = self._by_name.find("read", name)
        self._known.update(names)
        key = (id(graphs.forbid), id(graphs.allow))
        settled = self._settled.get(key)
        if settled is not None:
            settled.update(names)
            return
        # No image: what is walked here asks about the subject, the circumstances and the name only.
        subject, action, _, context = self._query
        query = Query(subject, action, Property(name, None), context)  # type: ignore[arg-type]
        verdict = _Verdict(*self._policy._ahead(graphs, query))
        forbid, allow = verdict.forbid, verdict.allow
        if forbid is NO and isinstance(allow, Leaf) and allow.holds:
            settled = self._clear
        elif self._policy.by_property(forbid) or self._policy.by_property(allow):
            self._apart[name] = verdict
            return
        else:
            settled = self._alike.setdefault((id(forbid), id(allow)), verdict).names
        settled.update(names)
        if not self._policy.by_property(graphs.forbid) and not self._policy.by_property(graphs.allow):
            self._settled[key] = settled
