"""Saved policies: the graphs as JSON, to be loaded where there is no Oso."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import re2

from protect.errors import PolicyError, Problem
from protect.policy.graph import Leaf, Node, Switch, Test, every
from protect.policy.patterns import MALFORMED
from protect.policy.policy import ByName, Graphs, Policy, Table
from protect.policy.questions import Of, Operator, Question, question
from protect.policy.vocabulary import Fact
from protect.values import Rule

FORMAT = "protect-policy/1"


def is_saved(data: bytes) -> bool:
    """Whether a file's content is a saved policy."""
    return data[:200].lstrip().startswith(b'{"format"') and FORMAT.encode() in data[:200]


def save(policy: Policy) -> bytes:
    """Return the policy as JSON. Paths that nobody has explored are saved as such: they are denied when loaded."""
    nodes: list[Any] = []
    index: dict[int, int] = {}
    roots = [root for graphs in policy.table.all() for root in graphs.roots()]
    for node in every(*roots):
        index[id(node)] = len(nodes)
        nodes.append(_node(node, index))

    def graphs(entry: Graphs) -> list[int]:
        return [index[id(root)] for root in entry.roots()]

    def by_name(entry: ByName) -> dict[str, Any]:
        return {
            "other": graphs(entry.other),
            "names": {name: graphs(one) for name, one in entry.names.items()},
            "same": graphs(entry.same) if entry.same else None,
        }

    table = policy.table
    document = {
        "format": FORMAT,
        "revision": policy.revision,
        "rules": [[rule.file, rule.line, rule.head] for rule in policy.rules],
        "nodes": nodes,
        "actions": [[kind, action, graphs(one)] for (kind, action), one in table.actions.items()],
        "other": {kind: graphs(one) for kind, one in table.other.items()},
        "properties": {action: by_name(one) for action, one in table.properties.items()},
        "other_properties": by_name(table.other_properties),
        "leaves_actions": table.leaves_actions,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _node(node: Node, index: Mapping[int, int]) -> list[Any]:
    if isinstance(node, Leaf):
        return ["leaf", node.holds, node.rule] if node.explored else ["unexplored"]
    if isinstance(node, Switch):
        cases = {literal: index[id(branch)] for literal, branch in node.branches.items()}
        return ["switch", list(node.fact), cases, index[id(node.branches.otherwise)]]
    asked = node.question
    operand = {"fact": list(asked.operand.fact)} if isinstance(asked.operand, Of) else asked.operand
    no, yes = node.branches
    return ["test", str(asked.operator), list(asked.fact), operand, asked.status, index[id(no)], index[id(yes)]]


def read_saved(name: str, data: bytes) -> Policy:
    """Load what ``save`` wrote. Raises PolicyError for anything else."""
    try:
        return _policy(json.loads(data))
    except RecursionError:
        raise PolicyError([Problem(name, 0, 0, "not a saved policy: nested too deeply")]) from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, re2.error, *MALFORMED) as error:
        problem = Problem(name, 0, 0, f"not a saved policy: {error}", "save it again from its sources")
        raise PolicyError([problem]) from None


def _policy(document: Mapping[str, Any]) -> Policy:
    if document["format"] != FORMAT:
        raise ValueError(f"format `{document['format']}` is not `{FORMAT}`")
    nodes: list[Node] = []
    for saved in document["nodes"]:
        nodes.append(_loaded(saved, nodes))

    def graphs(roots: list[int]) -> Graphs:
        forbid, allow, discard = (_at(nodes, root) for root in roots)
        return Graphs(forbid, allow, discard)

    def by_name(entry: Mapping[str, Any]) -> ByName:
        names = {str(name): graphs(one) for name, one in entry["names"].items()}
        return ByName(graphs(entry["other"]), names, graphs(entry["same"]) if entry["same"] else None)

    table = Table(
        actions={(str(kind), str(action)): graphs(one) for kind, action, one in document["actions"]},
        other={str(kind): graphs(one) for kind, one in document["other"].items()},
        properties={str(action): by_name(one) for action, one in document["properties"].items()},
        other_properties=by_name(document["other_properties"]),
        # Absent in what was saved before there was a choice.
        leaves_actions=document.get("leaves_actions", False) is True,
    )
    rules = [Rule(str(file), int(line), str(head)) for file, line, head in document["rules"]]
    for node in nodes:
        if isinstance(node, Leaf) and node.rule is not None and not 0 <= node.rule < len(rules):
            raise ValueError("a leaf names a rule that is not there")
    return Policy(table, revision=str(document["revision"]), rules=rules)


def _at(nodes: list[Node], index: object) -> Node:
    # Only nodes already read can be led to, so that no loop can be built; -1 would be a node, and no error.
    if not isinstance(index, int) or not 0 <= index < len(nodes):
        raise ValueError("a node leads to one that is not there")
    return nodes[index]


def _loaded(saved: list[Any], nodes: list[Node]) -> Node:
    match saved:
        case ["leaf", bool() as holds, int() | None as rule]:
            return Leaf(holds, rule)
        case ["unexplored"]:
            return Leaf(False, explored=False)
        case ["switch", list() as fact, dict() as cases, otherwise]:
            branches = {literal: _at(nodes, branch) for literal, branch in cases.items()}
            return Switch(_fact(fact), branches, _at(nodes, otherwise))
        case ["test", str() as operator, list() as fact, operand, str() as status, no, yes]:
            return Test(_question(operator, fact, operand, status), _at(nodes, no), _at(nodes, yes))
    raise ValueError(f"unknown node `{saved[:1]}`")


def _question(operator: str, fact: list[Any], operand: Any, status: str) -> Question:
    if isinstance(operand, dict):
        operand = Of(_fact(operand["fact"]))
    elif not isinstance(operand, str | int | float | None):
        raise ValueError("an operand is no text, number, or true or false")
    if operator == Operator.SHARED and not isinstance(operand, Of):
        raise ValueError("an image is shared with a fact")
    return question(Operator(operator), _fact(fact), operand, status)


def _fact(words: list[Any]) -> Fact:
    if words[0] not in ("subject", "resource", "context", "action") or any(
        not isinstance(word, str) or word.startswith("_") for word in words[: -1 if "get" in words[-2:-1] else None]
    ):
        raise ValueError("a fact is not in the vocabulary")
    return tuple(words)
