"""From the text of a test file to a suite, or to the list of everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from protect.policy.vocabulary import RESOURCES
from protect.protections.conditions import Condition
from protect.testing.documents import Mistakes, Node, SuiteError, chosen, named, parse, suggestion
from protect.testing.people_and_things import read_resources, read_subjects
from protect.testing.suites import (
    ANY_OTHER,
    UNMENTIONED,
    Answer,
    Asked,
    Case,
    Demand,
    Expectation,
    Grid,
    Invariant,
    Named,
    PolicySource,
    Suite,
)
from protect.testing.tables import OPERATIONS, Cell, Row, operations_of, rows
from protect.testing.wording import condition
from protect.values import Image, Property, Query, Subject

#: How the sections of resources are called, each with the type that its entries have.
SECTIONS: Mapping[str, str] = {
    "images": "Image",
    "properties": "Property",
    "attributes": "Property",
    "members": "Member",
    "locations": "Location",
    "tasks": "Task",
    "stores": "Store",
    "metadefs": "Metadef",
    "resources": "Resource",
}

#: Questions that one test may ask.
MOST_QUESTIONS = 100_000

_TOP = ("policy", "protection_format", "policy_rules", "subjects", *SECTIONS, "tests", "invariants")
_LISTS = ("allow", "discard", "error")
_FORMS: Mapping[str, tuple[str, ...]] = {
    "expect": ("subjects", "actions", "resources", "because"),
    "allow": ("subjects", "actions", "resources", "discard", "error", "because"),
    "table": ("actions", "resources", "subjects", "because"),
    "properties": ("images", "value", "because"),
    "exactly": (),
}
_COMMON = ("name", "skip", "context")
_EVERYTHING = tuple(dict.fromkeys([*_COMMON, *_FORMS, *(key for keys in _FORMS.values() for key in keys)]))

_DEMANDS: Mapping[str, Demand] = {
    "never": Demand.NEVER,
    "always": Demand.ALWAYS,
    "only_when": Demand.ONLY_WHEN,
    "implies": Demand.IMPLIES,
}
_INVARIANT = ("name", "skip", "type", "never", "always", "allowed", "only_when", "implies", "when", "cannot_prove")


def read(text: str, file: str) -> Suite:
    """Return what a test file says. Raises SuiteError, which lists every mistake, each with its place."""
    mistakes = Mistakes(file, text)
    root = parse(text, mistakes)
    suite = _Reader(mistakes).suite(root) if root is not None else None
    if mistakes.problems or suite is None:
        raise SuiteError(sorted(mistakes.problems))
    return suite


class _Reader:
    """Reads one file. Goes on behind every mistake."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._file = mistakes.file
        self._subjects: dict[str, Named] = {}
        self._resources: dict[str, Named] = {}
        #: Where each test's name stands.
        self._names: dict[str, int] = {}
        self._asked: list[Asked] = []
        self._because: list[Asked] = []

    def suite(self, root: Node) -> Suite:
        top = root.fields("a test file", _TOP)
        if "subjects" in top:
            self._subjects = read_subjects(top["subjects"])
        for section, kind in SECTIONS.items():
            if section in top:
                read_resources(top[section], kind, self._resources, attribute=section == "attributes")
        cases = [case for node in _items(top, "tests") if (case := self._case(node)) is not None]
        invariants = [one for node in _items(top, "invariants") if (one := self._invariant(node)) is not None]
        if "tests" not in top and "invariants" not in top and root.is_map():
            root.mistake("there is nothing to test", "write `tests:` or `invariants:`")
        policy = self._policy(top, root)
        return Suite(self._file, policy, tuple(cases), tuple(invariants), tuple(self._asked), tuple(self._because))

    def _policy(self, top: Mapping[str, Node], root: Node) -> PolicySource:
        directory = os.path.dirname(self._file) or "."
        paths: list[str] = []
        line = 0
        if "policy" in top:
            line = top["policy"].line
            paths = [path for path, _ in top["policy"].texts("policy")]
        elif sorted(Path(directory).glob("*.polar")):
            paths = ["."]
        elif root.is_map():
            root.mistake("it is not said which policy is tested", "write `policy: rules`, a path from this file")
        format = "roles"
        if "protection_format" in top:
            format = named(top["protection_format"], ("roles", "policies"), "format") or format
        rules = top["policy_rules"].text("policy_rules") if "policy_rules" in top else None
        return PolicySource(tuple(paths), directory, format, rules, line)

    # --- tests ---

    def _case(self, node: Node) -> Case | None:
        found = node.fields("a test", _EVERYTHING, ["name"])
        name = self._name(found)
        form = next((form for form in _FORMS if form in found), None)
        if form is None:
            if found:
                node.mistake(
                    "the test does not say what to expect", f"write one of {', '.join(f'`{form}`' for form in _FORMS)}"
                )
            return None
        for key, value in found.items():
            if key not in (form, *_COMMON, *_FORMS[form]):
                value.mistake(f"`{key}` does not go with `{form}`", f"with it: {', '.join((*_FORMS[form], *_COMMON))}")
        context = (
            {key: one.value("a circumstance") for key, _, one in found["context"].pairs("context")}
            if ("context" in found)
            else {}
        )
        because = self._rules(found)
        made: list[Expectation] = []
        grid = Grid()
        match form:
            case "expect" | "allow":
                made = self._crossed(node, found, context, because)
            case "table":
                made, grid = self._tabled(found, context, because)
            case "properties":
                made, grid = self._properties(node, found, context, because), Grid("action")
            case _:
                made, grid = self._exactly(found["exactly"], context)
        return Case(name, self._file, node.line, tuple(made), grid, _reason(found))

    def _rules(self, found: Mapping[str, Node]) -> tuple[str, ...]:
        if "because" not in found:
            return ()
        said = found["because"].texts("because")
        self._because += [Asked(text, frozenset(), place.line, place.column) for text, place in said]
        return tuple(text for text, _ in said)

    def _name(self, found: Mapping[str, Node]) -> str:
        if "name" not in found:
            return ""
        name = found["name"].text("a name") or ""
        first = self._names.setdefault(name, found["name"].line)
        if name and first != found["name"].line:
            found["name"].mistake(f"there is a `{name}` already, in line {first}", "call it something else")
        return name

    def _crossed(
        self, node: Node, found: Mapping[str, Node], context: Mapping[str, object], because: tuple[str, ...]
    ) -> list[Expectation]:
        """Read subjects x actions x resources: all with one answer, or each deny that is not listed."""
        for key in ("subjects", "actions", "resources"):
            if key not in found:
                node.mistake(f"the test needs `{key}`")
        subjects = self._chosen(found, "subjects", self._subjects, "subject")
        resources = self._chosen(found, "resources", self._resources, "resource")
        actions = found["actions"].texts("actions") if "actions" in found else []
        number = len(subjects) * len(actions) * len(resources)
        if number > MOST_QUESTIONS:
            help = "an invariant is about every request; or name fewer"
            node.mistake(f"the test asks {number:,} questions, more than {MOST_QUESTIONS:,}", help)
            return []
        answers: dict[tuple[str, str, str], Answer] = {}
        every = Answer.DENY
        if "expect" in found:
            every = Answer(named(found["expect"], list(Answer), "answer") or Answer.DENY)
        else:
            names = ([n for n, _ in subjects], [n for n, _ in actions], [n for n, _ in resources])
            for key in _LISTS:
                if key in found:
                    _listed(found[key], Answer("allow" if key == "allow" else key), names, answers)
        always = because if "expect" in found else ()
        for action, place in actions:
            self._note(place, action, [resource for resource, _ in resources])
        made = []
        for (subject, _), (action, place), (resource, _) in product(subjects, actions, resources):
            answer = answers.get((subject, action, resource), every)
            because_of = always if answer is Answer.DENY else because
            made.append(self._expectation(subject, action, resource, context, answer, place.line, because_of))
        return made

    def _note(self, place: Node, action: str, resources: Iterable[str]) -> None:
        """Take note of an action, to be looked at once the policy is known."""
        kinds = frozenset(self._resources[name].kind() for name in resources)
        self._asked.append(Asked(action, kinds, place.line, place.column))
        if action == UNMENTIONED:
            place.mistake(f"`{action}` stands in invariants only", "name the action, or write `*` for all of them")

    def _chosen(
        self, found: Mapping[str, Node], key: str, known: Mapping[str, Named], what: str
    ) -> list[tuple[str, Node]]:
        return chosen(found[key], known, what) if key in found else []

    def _expectation(
        self,
        subject: str,
        action: str,
        resource: str,
        context: Mapping[str, object],
        answer: Answer,
        line: int,
        because: tuple[str, ...] = (),
    ) -> Expectation:
        thing = self._resources[resource]
        value: Any = thing.value
        query = Query(self._who(subject), action, value, context)
        return Expectation(subject, action, resource, query, answer, line, thing.attribute, because)

    def _who(self, name: str) -> Subject:
        value = self._subjects[name].value
        assert isinstance(value, Subject)
        return value

    def _tabled(
        self, found: Mapping[str, Node], context: Mapping[str, object], because: tuple[str, ...]
    ) -> tuple[list[Expectation], Grid]:
        """Read a table of text: two of the three names in its first columns, the third across its head."""
        across, lines = rows(found["table"])
        made: list[Expectation] = []
        for row in lines:
            for cell in row.cells:
                names = {**row.names, across: Cell(cell.head, cell.head_line, cell.head_column)}
                known = self._known(names["subject"], self._subjects, "subject")
                known &= self._known(names["resource"], self._resources, "resource")
                answer = self._answer(cell, row)
                if not known:
                    continue
                subject, action, resource = (names[name].text for name in ("subject", "action", "resource"))
                kinds = frozenset({self._resources[resource].kind()})
                self._asked.append(Asked(action, kinds, names["action"].at, names["action"].column))
                if answer is not None:
                    because_of = () if answer is Answer.DENY else because
                    made.append(self._expectation(subject, action, resource, context, answer, row.line, because_of))
        return made, Grid(across)

    def _known(self, cell: Cell, known: Mapping[str, Named], what: str) -> bool:
        if cell.text in known:
            return True
        self._mistakes.add(cell.at, cell.column, f"there is no {what} `{cell.text}`", suggestion(cell.text, known))
        return False

    def _answer(self, cell: Cell, row: Row) -> Answer | None:
        answers = {**{str(answer): answer for answer in Answer}, "-": Answer.DENY}
        if cell.text in answers:
            return answers[cell.text]
        if cell.text != ".":
            help = f"{suggestion(cell.text, [str(a) for a in Answer])} `-` is deny, `.` is not asked"
            self._mistakes.add(row.line, cell.column, f"`{cell.text}` is no answer", help)
        return None

    def _properties(
        self, node: Node, found: Mapping[str, Node], context: Mapping[str, object], because: tuple[str, ...]
    ) -> list[Expectation]:
        """Read a table of subjects and property names with columns C, R, U and D."""
        if "images" not in found:
            node.mistake("the test needs `images`: whose properties these are")
        images = {name: one for name, one in self._resources.items() if isinstance(one.value, Image)}
        wanted = [name for name, _ in self._chosen(found, "images", images, "image")]
        value = found["value"].value("a value") if "value" in found else None
        made: list[Expectation] = []
        for row in operations_of(found["properties"]):
            subject, name = row.names["subject"], row.names["property"]
            if not self._known(subject, self._subjects, "subject"):
                continue
            for cell in row.cells:
                operation = OPERATIONS[cell.head]
                answer = self._operation(cell, row)
                for image_name in wanted if answer is not None else ():
                    image = images[image_name].value
                    assert isinstance(image, Image) and answer is not None
                    held = value if "value" in found else image.properties.get(name.text)
                    query = Query(self._who(subject.text), operation, Property(name.text, image, held), context)
                    shown = name.text if len(wanted) == 1 else f"{name.text} of {image_name}"
                    because_of = () if answer is Answer.DENY else because
                    made.append(
                        Expectation(subject.text, operation, shown, query, answer, row.line, because=because_of)
                    )
        return made

    def _operation(self, cell: Cell, row: Row) -> Answer | None:
        letter = cell.head.lower()
        answers = {
            letter: Answer.ALLOW,
            letter.upper(): Answer.ALLOW,
            "-": Answer.DENY,
            "~": Answer.DISCARD,
            "!": Answer.ERROR,
            ".": None,
        }
        if cell.text not in answers:
            help = f"`{letter.upper()}` allow, `-` deny, `~` dropped without a word, `!` error, `.` not asked"
            self._mistakes.add(row.line, cell.column, f"`{cell.text}` in column {cell.head} is no answer", help)
        return answers.get(cell.text)

    def _exactly(self, node: Node, context: Mapping[str, object]) -> tuple[list[Expectation], Grid]:
        """Read an exact set: of the two names that are given and all of the third, these are allowed and no others."""
        found = node.fields("`exactly`", ("subject", "subjects", "action", "actions", "resource", "resources"))
        open_ = [key for key in ("subjects", "actions", "resources") if key in found]
        fixed = [key for key in ("subject", "action", "resource") if key in found]
        if len(open_) != 1 or {*fixed, open_[0].removesuffix("s")} != {"subject", "action", "resource"}:
            help = "such as `{subject: alice, resource: own, actions: [get_image]}`"
            node.mistake("`exactly` fixes two of subject, action and resource, and lists the third", help)
            return [], Grid()
        names: dict[str, list[str]] = {}
        for key, known in (("subject", self._subjects), ("resource", self._resources)):
            if key in found:
                name = named(found[key], known, key)
                names[key] = [name] if name else []
            elif f"{key}s" in found:
                names[key] = list(known)
        listed = self._listed_exactly(found, open_[0])
        if open_ == ["resources"]:
            # The others of the same types: nobody means a location where images are listed.
            types = {self._resources[name].type() for name in listed}
            names["resource"] = [name for name, one in self._resources.items() if not types or one.type() in types]
        if "action" in found:
            names["action"] = [text] if (text := found["action"].text("an action")) else []
            for text in names["action"]:
                self._note(found["action"], text, names.get("resource", ()))
        elif "actions" in found:
            # The rest of them is known once the policy is: `*` stands for each action that is not listed.
            names["action"] = [*listed, ANY_OTHER]
            for text, place in found["actions"].texts("actions"):
                self._note(place, text, names.get("resource", ()))
        made = []
        for subject in names.get("subject", ()):
            for action in names.get("action", ()):
                for resource in names.get("resource", ()):
                    one = {"subjects": subject, "actions": action, "resources": resource}[open_[0]]
                    answer = Answer.ALLOW if one in listed else Answer.DENY
                    made.append(self._expectation(subject, action, resource, context, answer, node.line))
        return made, Grid(open_[0].removesuffix("s"))

    def _listed_exactly(self, found: Mapping[str, Node], key: str) -> list[str]:
        if key == "actions":
            return [text for text, _ in found[key].texts("actions")]
        known = self._subjects if key == "subjects" else self._resources
        return [name for name, _ in chosen(found[key], known, key.removesuffix("s"))]

    # --- invariants ---

    def _actions(self, node: Node, kind: str) -> tuple[str, ...]:
        found = node.texts("actions")
        if not found:
            node.mistake("no action is named", "name one, or write `'*'` for all of them")
        self._asked += [Asked(text, frozenset({kind}), place.line, place.column) for text, place in found]
        return tuple(text for text, _ in found)

    def _invariant(self, node: Node) -> Invariant | None:
        found = node.fields("an invariant", _INVARIANT, ["name"])
        name = self._name(found)
        demands = [key for key in _DEMANDS if key in found]
        if len(demands) != 1 or ("allowed" in found) is not (demands[0] in ("only_when", "implies")):
            if found:
                help = "`never: actions`, `always: actions`, or `allowed: actions` with `only_when:` or `implies:`"
                node.mistake("an invariant makes one demand", help)
            return None
        demand = _DEMANDS[demands[0]]
        kind, attribute = "Image", False
        if "type" in found:
            said = named(found["type"], (*RESOURCES, "Attribute"), "type of resource") or kind
            kind, attribute = ("Property", True) if said == "Attribute" else (said, False)
        asked = found["allowed"] if "allowed" in found else found[demands[0]]
        actions = self._actions(asked, kind)
        if {ANY_OTHER, UNMENTIONED} & {*actions} and demand is Demand.IMPLIES:
            asked.mistake("an implication is about actions with a name", "name the action")
        when, when_text = self._condition(found, "when", kind)
        only, only_text = self._condition(found, "only_when", kind)
        then = self._actions(found["implies"], kind) if "implies" in found else ()
        if {ANY_OTHER, UNMENTIONED} & {*then}:
            found["implies"].mistake("an implication is about actions with a name", "name the action")
        lenient = "cannot_prove" in found and named(found["cannot_prove"], ("allow", "fail"), "choice") == "allow"
        return Invariant(
            name,
            self._file,
            node.line,
            demand,
            actions,
            kind,
            attribute,
            when=when,
            when_text=when_text,
            only=only,
            only_text=only_text,
            then=then,
            lenient=lenient,
            skip=_reason(found),
        )

    def _condition(self, found: Mapping[str, Node], key: str, kind: str) -> tuple[Condition | None, str]:
        return (condition(found[key], kind) if key in found else None) or (None, "")


def _items(top: Mapping[str, Node], key: str) -> Iterable[Node]:
    return top[key].items(f"`{key}`") if key in top else ()


def _reason(found: Mapping[str, Node]) -> str:
    if "skip" not in found:
        return ""
    return found["skip"].text("the reason of `skip`") or "?"


def _listed(
    node: Node,
    answer: Answer,
    names: tuple[list[str], list[str], list[str]],
    answers: dict[tuple[str, str, str], Answer],
) -> None:
    """Read ``{subject: [action, …]}`` or ``{subject: {action: [resource, …]}}``."""
    subjects, actions, resources = names

    def note(subject: str, action: str, resource: str, place: Node) -> None:
        before = answers.setdefault((subject, action, resource), answer)
        if before is not answer:
            place.mistake(f"{subject}, {action}, {resource} is listed as {before} as well", "keep one of them")

    for subject, place, value in node.pairs(f"`{answer}`"):
        if subject != "*" and subject not in subjects:
            place.mistake(f"`{subject}` is none of the test's subjects", suggestion(subject, subjects))
            continue
        for one in subjects if subject == "*" else [subject]:
            if value.is_map():
                for action, at, listed in value.pairs("actions"):
                    if action != "*" and action not in actions:
                        at.mistake(f"`{action}` is none of the test's actions", suggestion(action, actions))
                        continue
                    for resource, where in chosen(listed, resources, "resource of the test,"):
                        for each in actions if action == "*" else [action]:
                            note(one, each, resource, where)
            else:
                for action, where in chosen(value, actions, "action of the test,"):
                    for resource in resources:
                        note(one, action, resource, where)
