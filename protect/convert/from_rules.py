"""oslo.policy's rules for Glance, a ``policy.yaml``, as Polar: over those in Glance's code, for what it leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from protect.convert.glance_targets import HELPERS, TOLD, TOLD_OF_METADEFS, TOPICS, kinds, topic
from protect.convert.wording import Names, Speaker, Unspeakable, comment, questions, rule, simplified, text
from protect.errors import PolicyError, Problem
from protect.policy.questions import Of, Operator, Question, question
from protect.policy.vocabulary import Fact
from protect.protections.checks import RuleBook
from protect.protections.conditions import EVERYONE, NOBODY, AllOf, AnyOf, Ask, Condition, Not
from protect.protections.glance_rules import GLANCE_RULES
from protect.protections.sections import Place

_IMAGE: Fact = ("resource", "image")
_TENANT: Fact = ("subject", "tenant")
_OWNS = Ask(question(Operator.EQUALS, (*_IMAGE, "owner"), Of(_TENANT)))
_IS_SHARED = Ask(question(Operator.EQUALS, (*_IMAGE, "visibility"), "shared"))
_LISTED = AnyOf(
    tuple(
        Ask(question(Operator.SHARED, (*_IMAGE, "members"), Of(_TENANT), status))
        for status in ("accepted", "pending", "rejected")
    )
)
#: What `project_id:%(member_id)s` is read as.
_MEMBER = AllOf((_IS_SHARED, _LISTED))
_OF_MEMBER = Ask(question(Operator.EQUALS, ("resource", "tenant"), Of(_TENANT)))
_OF_TASK = Ask(question(Operator.EQUALS, ("resource", "owner"), Of(_TENANT)))
#: These have rules of their own: shared with the subject's tenant, and shared and shown to it at all.
_SHARED_WITH = Ask(question(Operator.IS_TRUE, ("resource", "rule", "shared_with")))
_SHOWN = Ask(question(Operator.IS_TRUE, ("resource", "rule", "shown_as_shared")))
_ADMIN = "context_is_admin"

_SUGGESTED = re.compile(r'#+\s*"')


@dataclass(frozen=True, slots=True)
class Warned:
    """What Glance takes, and what it does not mean to everybody who writes it."""

    line: int
    message: str


class Rules:
    """The rules of one file over Glance's own, as conditions for each action."""

    def __init__(self, content: str, file: str) -> None:
        """Raises PolicyError with every problem of the file."""
        book = RuleBook(content, file)
        self.file = file
        self.texts: dict[str, object] = dict(GLANCE_RULES)
        self.places: dict[str, int] = {}
        self.comments: dict[str, list[str]] = {}
        self._read(content)
        self.warnings: list[Warned] = []
        problems: list[Problem] = []
        self._plain = {
            name: book.condition(name, Place(file, self.places.get(name, 0), 1), problems) for name in self.texts
        }
        if problems:
            raise PolicyError(sorted(dict.fromkeys(problems)))
        self.helpers = self._helpers()
        self._warn()

    @property
    def actions(self) -> list[str]:
        """Return what Glance asks for, in the order of its own rules."""
        return [name for name in GLANCE_RULES if name not in HELPERS]

    def _read(self, content: str) -> None:
        yaml = import_module("yaml")
        root = yaml.compose(content, Loader=yaml.SafeLoader)
        lines = content.splitlines()
        for key, _ in root.value if root is not None else ():
            line = key.start_mark.line
            self.places[key.value] = line + 1
            above: list[str] = []
            while line > 0 and lines[line - 1].lstrip().startswith("#"):
                line -= 1
                if not _SUGGESTED.match(lines[line].lstrip()):
                    above.insert(0, lines[line].lstrip().lstrip("#").strip())
            self.comments[key.value] = [one for one in above if not one.startswith("protect:")]
        self.texts |= yaml.safe_load(content) or {}

    def _helpers(self) -> dict[str, Condition]:
        """Return the rules about the subject alone that others refer to, by name."""
        written = " ".join(str(value) for value in self.texts.values())
        named = [name for name in self.texts if name not in self.actions and f"rule:{name}" in written]
        found: dict[str, Condition] = {}
        for name in [_ADMIN, *named]:
            condition = self._plain[name]
            about = any(fact[0] == "resource" for asked in questions(condition) for fact in asked.facts())
            if not about and simplified(condition) not in (EVERYONE, NOBODY):
                found.setdefault(name, condition)
        return found

    def _warn(self) -> None:
        for name, line in self.places.items():
            if name not in GLANCE_RULES and f"rule:{name}" not in " ".join(map(str, self.texts.values())):
                self.warnings.append(Warned(line, f"Glance does not ask for `{name}`, so it is left out"))
                continue
            if name in HELPERS:
                continue
            condition = self._plain[name]
            if simplified(condition) == EVERYONE:
                self.warnings.append(Warned(line, f"`{name}` lets everybody in, whoever the image belongs to"))
            if any(asked == _IS_SHARED.question for asked in _beside(condition, _MEMBER)):
                self.warnings.append(
                    Warned(
                        line,
                        f"`'shared':%(visibility)s` in `{name}` holds for images shared with anybody; Glance's "
                        "database shows only those shared with the subject's project, and so does the converted rule",
                    )
                )

    def condition(self, action: str, kind: str) -> Condition:
        """Return who may, about a type of resource; raises Unspeakable for what Glance does not tell of one."""
        if action in ("get_task", "get_tasks", "add_task", "modify_task") and action not in self.places:
            # Glance asks for these no more, and its code leaves them open. Here, tasks are their owner's.
            return AnyOf((_call(_ADMIN) if _ADMIN in self.helpers else NOBODY, _OF_TASK))
        meant = simplified(self._meant(self._plain[action], action, kind, positive=True))
        owns = Ask(replace(_OWNS.question, fact=_moved(_OWNS.question.fact, kind)))
        return _without_idle(meant, owns, admin=_ADMIN not in self.helpers)

    def helper(self, name: str) -> Condition:
        """Return what a rule that others refer to says of the subject."""
        return simplified(_own_roles(self.helpers[name]))

    def facts_of_helpers(self) -> Iterator[tuple[str, frozenset[Fact]]]:
        """Yield the rules that others refer to, each with what conditions ask for in its place."""
        for name in self.helpers:
            shown = (_SHOWN.question.fact,) if name == _ADMIN else ()
            yield name, frozenset((_call(name).question.fact, *shown))

    def _meant(self, condition: Condition, action: str, kind: str, *, positive: bool) -> Condition:
        for name, known in self.helpers.items():
            if condition == known:
                return _call(name)
        if condition == _MEMBER:
            return _OF_MEMBER if kind == "Member" else self._told(_SHARED_WITH, action, kind)
        if condition == _IS_SHARED and positive and kind != "Metadef":
            return self._told(_SHOWN, action, kind)
        match condition:
            case Not(part):
                return Not(self._meant(part, action, kind, positive=not positive))
            case AnyOf(parts):
                if (role := _role(condition)) is not None:
                    return self._about(role, action, kind)
                return AnyOf(tuple(self._meant(part, action, kind, positive=positive) for part in parts))
            case AllOf(parts):
                return AllOf(tuple(self._meant(part, action, kind, positive=positive) for part in parts))
        return self._about(condition, action, kind)

    def _told(self, condition: Condition, action: str, kind: str) -> Condition:
        """Return a condition about visibility, where Glance tells of that."""
        probe = self._about(_IS_SHARED, action, kind)
        return NOBODY if probe == NOBODY else condition

    def _about(self, condition: Condition, action: str, kind: str) -> Condition:
        """Return the condition with the facts of an image as a rule about ``kind`` has them."""
        match condition:
            case Not(part):
                return Not(self._about(part, action, kind))
            case AnyOf(parts):
                return AnyOf(tuple(self._about(part, action, kind) for part in parts))
            case AllOf(parts):
                return AllOf(tuple(self._about(part, action, kind) for part in parts))
            case Ask(asked):
                return self._asked(asked, action, kind)

    def _asked(self, asked: Question, action: str, kind: str) -> Condition:
        told = TOLD_OF_METADEFS if kind == "Metadef" else TOLD.get(action)
        for fact in asked.facts():
            if fact[:2] != _IMAGE or fact[1] == "rule":
                continue
            if told is not None and fact[2] not in told and not (fact[2] == "members" and "visibility" in told):
                return NOBODY  # Glance does not tell; such a check never holds
            if kind in ("", "Task"):
                raise Unspeakable(
                    f"{self.file}:{self.places.get(action, 0)}: `{action}` asks about an image, of which Glance tells "
                    "nothing there; write it with roles alone"
                )
        operand = asked.operand
        return Ask(
            replace(
                asked,
                fact=_moved(asked.fact, kind),
                operand=Of(_moved(operand.fact, kind)) if isinstance(operand, Of) else operand,
            )
        )


def _without_idle(condition: Condition, owns: Condition, *, admin: bool) -> Condition:
    """Return the condition without `shown_as_shared` where all that it comes to is said beside it.

    ``admin``: whoever is an admin is let in anyway.
    """
    match condition:
        case AllOf(parts):
            return AllOf(tuple(_without_idle(part, owns, admin=admin) for part in parts))
        case AnyOf(parts):
            admin = admin or _call(_ADMIN) in parts
            idle = admin and {owns, _SHARED_WITH} <= {*parts}
            kept = (part for part in parts if not (idle and part == _SHOWN))
            return AnyOf(tuple(_without_idle(part, owns, admin=admin) for part in kept))
    return condition


def _moved(fact: Fact, kind: str) -> Fact:
    return ("resource", *fact[2:]) if fact[:2] == _IMAGE and kind in ("Image", "Metadef") else fact


def _beside(condition: Condition, without: Condition) -> Iterator[Question]:
    if condition == without:
        return
    match condition:
        case Ask(asked):
            yield asked
        case Not(part):
            yield from _beside(part, without)
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from _beside(part, without)


def _call(name: str) -> Ask:
    """Return what stands for a rule of its own until it is written."""
    return Ask(question(Operator.IS_TRUE, ("subject", "rule", name)))


def _role(condition: AnyOf) -> Condition | None:
    """Return a question for a role as oslo.policy asks it: of the subject's own roles."""
    facts = [
        part.question.fact
        for part in condition.parts
        if isinstance(part, Ask) and part.question.operator is Operator.HAS_FOLDED
    ]
    two = len(condition.parts) == 2 and facts == [("subject", "service_roles"), ("subject", "roles")]
    return condition.parts[1] if two else None


def _own_roles(condition: Condition) -> Condition:
    match condition:
        case Not(part):
            return Not(_own_roles(part))
        case AnyOf(parts):
            return _role(condition) or AnyOf(tuple(map(_own_roles, parts)))
        case AllOf(parts):
            return AllOf(tuple(map(_own_roles, parts)))
    return condition


class Writer:
    """Writes the rules as one policy that stands alone."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        names = Names(("allow", "forbid", "discard", "owns", "listed", "shared_with", "shown_as_shared"))
        self._names = {name: names.slug(name, "rule") for name in rules.helpers}

    def written(self) -> str:
        """Return the policy. Raises Unspeakable for what a rule cannot ask."""
        topics = [self._topic(heading) for heading in TOPICS]
        properties = self._properties()
        parts = [self._head(), self._words("\n".join(line for part in (*topics, properties) for line in part))]
        parts += [*topics, properties]
        return "\n\n".join("\n".join(part) for part in parts if part) + "\n"

    def _head(self) -> list[str]:
        return comment(
            [
                f"Who may do what with images, as Glance decides it with {self._file()}.",
                "",
                "What that file does not say is decided as the rules in Glance's own code say. Where they leave it to",
                "Glance's database which images, members and tasks are whose, the rules here say it themselves.",
            ]
        )

    def _file(self) -> str:
        return re.split(r"[/\\]", self._rules.file)[-1]

    def _origin(self, names: Iterable[str]) -> list[str]:
        found = [name for name in names if name in self._rules.places]
        said = [line for name in found for line in self._rules.comments.get(name, ())]
        places = ", ".join(f"{self._file()}:{self._rules.places[name]}" for name in found)
        return comment([*([places] if places else []), *said])

    def _words(self, rules: str) -> list[str]:
        """Return the words that ``rules`` use."""
        lines = [*comment(["--- words ---"]), ""]
        for name in self._rules.helpers:
            if not re.search(rf"\b{self._names[name]}\(subject\)", rules) and not (
                name == _ADMIN and "shown_as_shared(" in rules
            ):
                continue
            speaker = Speaker("Image", "image")
            lines += self._origin([name])
            lines += rule(f"{self._names[name]}(subject)", self._rules.helper(name), speaker)
        owning = ["owns(subject, image) if image.owner = subject.tenant;"]
        listing = [
            *comment(["On the image's list of members, whatever it answered: a pending member sees the image, too."]),
            *(f'listed(subject, image) if image.shared_with(subject, "{one}");' for one in _STATUSES),
        ]
        sharing = ['shared_with(subject, image) if image.visibility = "shared" and listed(subject, image);']
        showing = [
            *comment(["Of the images that are shared with somebody, Glance's database shows these."]),
            *(
                [f'shown_as_shared(subject, image) if image.visibility = "shared" and {self._names[_ADMIN]}(subject);']
                if _ADMIN in self._names
                else []
            ),
            'shown_as_shared(subject, image) if image.visibility = "shared" and owns(subject, image);',
            "shown_as_shared(subject, image) if shared_with(subject, image);",
        ]
        shown, shared = "shown_as_shared(" in rules, "shared_with(" in rules
        for wanted, added in (
            ("owns(" in rules or shown, owning),
            ("listed(" in rules or shown or shared, listing),
            (shown or shared, sharing),
            (shown, showing),
        ):
            lines += ["", *added] if wanted else []
        return lines

    def _speaker(self, kind: str, *, image: str) -> Speaker:
        calls: dict[Condition, str] = {_call(name): f"{called}(subject)" for name, called in self._names.items()}
        if image:
            way: Fact = ("resource",) if kind == "Image" else _IMAGE
            calls[Ask(question(Operator.EQUALS, (*way, "owner"), Of(_TENANT)))] = f"owns(subject, {image})"
            statuses = tuple(
                Ask(question(Operator.SHARED, (*way, "members"), Of(_TENANT), status)) for status in _STATUSES
            )
            calls[AnyOf(statuses)] = f"listed(subject, {image})"
            calls[_SHARED_WITH] = f"shared_with(subject, {image})"
            calls[_SHOWN] = f"shown_as_shared(subject, {image})"
        variable = {"Member": "membership", "": "resource"}.get(kind, kind.lower())
        return Speaker(kind or "Resource", variable, calls)

    def _topic(self, heading: str) -> list[str]:
        groups: dict[tuple[str, Condition, bool], list[str]] = {}
        for action in self._rules.actions:
            if topic(action) != heading:
                continue
            for kind in kinds(action) or ("",):
                condition = self._rules.condition(action, kind)
                groups.setdefault((kind, condition, action in self._rules.places), []).append(action)
        lines = comment([f"--- {heading} ---"])
        for (kind, condition, _), actions in groups.items():
            lines += ["", *self._origin(actions), *self._allow(kind, condition, actions)]
        return lines

    def _allow(self, kind: str, condition: Condition, actions: Sequence[str]) -> list[str]:
        variable = {"Member": "membership", "": "resource"}.get(kind, kind.lower())
        image = {"Image": "image", "Location": "location.image", "Member": "membership.image"}.get(kind, "")
        if simplified(condition) == NOBODY:
            return comment([f"nobody may {', '.join(actions)}"])
        about = any(fact[0] == "resource" for asked in questions(condition) for fact in asked.facts())
        subject = "_subject" if simplified(condition) == EVERYONE else "subject"
        third = f"{variable}: {kind}" if kind else variable
        one = len(actions) == 1
        head = f"allow({subject}: Subject, {text(actions[0]) if one else 'action'}, {'' if about else '_'}{third})"
        first = "" if one else f"action in {_listed(actions)}"
        return rule(head, condition, self._speaker(kind, image=image), first)

    def _properties(self) -> list[str]:
        lines = comment(
            [
                "--- properties ---",
                "",
                "Glance protects none by itself: who may read an image reads them, who may change it writes them.",
            ]
        )
        speaker = self._speaker("Property", image="property.image")
        for operations, actions in (
            (("read",), ("get_image",)),
            (("create",), ("add_image", "modify_image")),
            (("update", "delete"), ("modify_image",)),
        ):
            parts = tuple(self._rules.condition(action, "Property") for action in actions)
            condition = simplified(AnyOf(parts))
            if condition == NOBODY:
                lines += ["", *comment([f"nobody may {' or '.join(operations)}"])]
                continue
            about = any(fact[0] == "resource" for asked in questions(condition) for fact in asked.facts())
            subject = "_subject" if condition == EVERYONE else "subject"
            one = len(operations) == 1
            head = (
                f"allow({subject}: Subject, {text(operations[0]) if one else 'action'}, "
                f"{'' if about else '_'}property: Property)"
            )
            lines += ["", *rule(head, condition, speaker, "" if one else f"action in {_listed(operations)}")]
        return lines


_STATUSES = ("accepted", "pending", "rejected")


def _listed(actions: Sequence[str]) -> str:
    """Return a list of actions, on more than one line where it is long."""
    quoted = [text(action) for action in actions]
    if sum(map(len, quoted)) < 80:
        return f"[{', '.join(quoted)}]"
    rows = [quoted[index : index + 3] for index in range(0, len(quoted), 3)]
    inner = ",\n".join(f"    {', '.join(row)}" for row in rows)
    return f"[\n{inner}\n]"
