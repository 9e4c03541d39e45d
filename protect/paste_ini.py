"""An operator's pipeline file as text: where the filter stands in it, where it belongs, and how to take it out.

Lines are edited in place and never written anew, so that comments, order and spacing stay as they are. What comes out
is read again by a real parser and must differ from what went in by the filter and nothing else.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from protect.errors import ConfigError, Problem
from protect.settings import OPTIONS

FILTER = "protect"
SECTION = f"filter:{FILTER}"
FACTORY = "protect.factories:filter_factory"
AUTHTOKEN = "authtoken"

_BEGIN = "# protect: begin (`protect install` wrote this part; `protect uninstall` takes it out)"
_END = "# protect: end"

_HEADER = re.compile(r"\[(.+)\]")
# configparser's own: a name up to the first `=` or `:`, and the rest.
_OPTION = re.compile(r"(?P<name>.*?)\s*[=:]\s*(?P<value>.*)")
_FACTORY_OPTIONS = ("paste.filter_factory", "paste.filter_app_factory", "use")
_PIPELINES = "glance.api:pipeline_factory"
# Not all of keystonemiddleware: its `audit` filter stands in the same pipelines and verifies nothing.
_VERIFIES = r"(egg:)?keystonemiddleware[.#](auth_token|oauth2_token|oauth2_mtls_token|external_oauth2_token)\b"
_CACHES = r"glance\.api\.middleware\.cache"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of an option's value: where it begins, counting lines and columns from 0."""

    text: str
    line: int
    start: int


@dataclass(slots=True)
class Option:
    """An option of the file, with the words of its value on however many lines. ``line`` counts from 0."""

    section: str
    name: str
    line: int
    words: list[Word] = field(default_factory=list)

    @property
    def value(self) -> str:
        return " ".join(word.text for word in self.words)

    def index(self, names: Iterable[str]) -> int | None:
        """Return the place of the first word that is one of ``names``."""
        wanted = frozenset(names)
        return next((place for place, word in enumerate(self.words) if word.text in wanted), None)

    def count(self, names: Iterable[str]) -> int:
        wanted = frozenset(names)
        return sum(word.text in wanted for word in self.words)


@dataclass(frozen=True, slots=True)
class Result:
    """The text as it should be. ``notes`` say what an operator should know about it, one line each."""

    text: str
    notes: tuple[str, ...] = ()


def install(text: str, file: str, options: Mapping[str, str], after: str = "") -> Result:
    """Return the text with the filter in every pipeline that authenticates, and with a section of its own.

    ``options`` are what the section says; ``after`` is the filter that authenticates ("": Keystone's). A text that has
    it all comes back as it is. Raises ConfigError, with file and line, for what is not understood.
    """
    ini = _Ini(text, file)
    authenticators = ini.authenticators(after)
    ini.check_ways_around(authenticators)
    lines, here = list(ini.lines), 0
    untouched = []
    for option in ini.pipelines():
        if option.count(authenticators):
            here += 1
            ini.check_place(option, authenticators)
            if not option.count([FILTER]):
                _insert_after(lines, option.words[option.index(authenticators) or 0])
        elif option.count([FILTER]):
            here += 1
        else:
            untouched.append(_title(option))
    if not here:
        raise ini.nothing_to_follow(authenticators)
    ini.check_defaults()
    edited = "".join(lines)
    if ini.has_section(SECTION):
        ini.check_section(options)
    else:
        edited = _with_section(edited, options, ini.newline)
    _check_only_the_filter_differs(text, edited, file)
    return Result(edited, (_left_alone(untouched),) if untouched else ())


def uninstall(text: str, file: str) -> Result:
    """Return the text without the filter: what `install` makes of a text, back to that text.

    A section that somebody else wrote stays; nothing names it any longer. Raises ConfigError as `install` does.
    """
    ini = _Ini(text, file)
    lines = list(ini.lines)
    for option in ini.pipelines():
        for word in reversed(option.words):
            if word.text == FILTER:
                _remove(lines, word)
    edited = _without_section("".join(lines), file)
    _check_only_the_filter_differs(text, edited, file)
    kept = f"{file}: `[{SECTION}]` stays: it was written by hand; nothing names it any longer"
    return Result(edited, (kept,) if _Ini(edited, file).has_section(SECTION) else ())


class _Ini:
    """The file as PasteDeploy's parser reads it, with the place of everything."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = _lines(text)
        _parsed(text, file)
        self.newline = "\r\n" if self.lines and self.lines[0].endswith("\r\n") else "\n"
        self.sections: dict[str, int] = {}
        self.options = list(self._read())

    def has_section(self, name: str) -> bool:
        return name in self.sections

    def pipelines(self) -> list[Option]:
        """Return every option whose value is a list of filters with an application at its end."""
        chosen = {o.section for o in self.options if o.name == "paste.composite_factory" and o.value == _PIPELINES}
        return [
            option
            for option in self.options
            if (option.section in chosen and option.name != "paste.composite_factory")
            or (option.section.startswith("pipeline:") and option.name == "pipeline")
        ]

    def authenticators(self, after: str) -> set[str]:
        """Return the names of the filters that verify who asks: the one that is named, else Keystone's."""
        if after and not self.has_section(f"filter:{after}"):
            known = ", ".join(s.removeprefix("filter:") for s in self.sections if s.startswith("filter:"))
            raise ConfigError(f"{self.file}: there is no `[filter:{after}]`; filters: {known or 'none'}")
        return {after} if after else {AUTHTOKEN, *self._filters_of(_VERIFIES)}

    def check_place(self, option: Option, authenticators: set[str]) -> None:
        """Raise ConfigError where the order of a pipeline's filters is not one that protects anything."""
        caches = {"cache", "cachemanage", *self._filters_of(_CACHES)}
        place = option.index(authenticators)
        first_cache = option.index(caches)
        ours = option.index([FILTER])
        if option.count(authenticators) > 1:
            raise self._problem(option, f"{_title(option)} authenticates more than once", "leave one of them")
        if option.count([FILTER]) > 1:
            raise self._problem(option, f"{_title(option)} has `{FILTER}` more than once", "leave one of them")
        if place is not None and first_cache is not None and first_cache < place:
            name = option.words[first_cache].text
            raise self._problem(
                option,
                f"{_title(option)} has `{name}` before `{option.words[place].text}`, where it answers anybody",
                f"put `{name}` behind it",
            )
        if place is not None and ours is not None and not place < ours < (first_cache or ours + 1):
            raise self._problem(
                option,
                f"{_title(option)} has `{FILTER}` where it does not protect",
                f"put it directly after `{option.words[place].text}`: behind it, and before `cache` and `cachemanage`",
            )

    def check_section(self, options: Mapping[str, str]) -> None:
        """Raise ConfigError where the section that is there is not ours, or says something else."""
        section = {option.name: option for option in self.options if option.section == SECTION}
        factory = next((section[name] for name in _FACTORY_OPTIONS if name in section), None)
        if factory is None or factory.value not in (FACTORY, "egg:protect", "egg:protect#main"):
            line = factory.line if factory else self.sections[SECTION]
            raise _error(self.file, line, f"`[{SECTION}]` is another filter", "rename that one, here and in pipelines")
        for name, value in options.items():
            found = section.get(name)
            if found is None or found.value != " ".join(value.split()):
                line = found.line if found else self.sections[SECTION]
                now = f"`{name} = {found.value}`" if found else f"no `{name}`"
                raise _error(self.file, line, f"`[{SECTION}]` is there already and has {now}", "change it there")

    def check_defaults(self) -> None:
        """Raise ConfigError where [DEFAULT] has one of our options: it would win over our section, silently."""
        for option in self.options:
            if option.section == configparser.DEFAULTSECT and option.name in OPTIONS:
                message = f"`{option.name}` in [DEFAULT] would hide the one of `[{SECTION}]`"
                raise _error(self.file, option.line, message, "move it into the section that it is for")

    def check_ways_around(self, authenticators: set[str]) -> None:
        """Raise ConfigError where an authenticating filter is set up in a way that is not a pipeline's line."""
        for option in self.options:
            if option.name == "filter-with" and option.count(authenticators):
                message = f"`{option.words[0].text}` wraps `[{option.section}]` by `filter-with`, not in a pipeline"
                raise self._problem(option, message, "name it in the pipeline instead")

    def nothing_to_follow(self, authenticators: set[str]) -> ConfigError:
        """Return the error for a file with no pipeline that we could stand in."""
        if not self.pipelines():
            return ConfigError(
                f"{self.file}: there are no pipelines here; accepted: Glance's glance-api-paste.ini, with "
                "[composite:api] or [pipeline:…] sections"
            )
        names = " or ".join(f"`{name}`" for name in sorted(authenticators))
        return ConfigError(
            f"{self.file}: no pipeline has {names}, so nothing verifies who asks; if another filter does, "
            "name it with `--after`"
        )

    def _filters_of(self, factory: str) -> Iterator[str]:
        for option in self.options:
            ours = option.section.startswith("filter:") and option.name in _FACTORY_OPTIONS
            if ours and re.match(factory, option.value):
                yield option.section.removeprefix("filter:")

    def _problem(self, option: Option, message: str, help: str) -> ConfigError:
        return _error(self.file, option.line, message, help)

    def _read(self) -> Iterator[Option]:
        section, option, option_indent = "", None, 0
        for number, line in enumerate(self.lines):
            stripped = line.strip()
            if not stripped or stripped.startswith(("#", ";")):
                continue
            indent = len(line) - len(line.lstrip())
            if option is not None and indent > option_indent:
                option.words += _words(line, number, indent)
                continue
            if option is not None:
                yield option
                option = None
            header = _HEADER.match(stripped)
            if header:
                section, option_indent = header[1], indent
                self.sections.setdefault(section, number)
                continue
            found = _OPTION.match(stripped)
            assert found, "the parser has accepted the line"
            option_indent = indent
            option = Option(section, found["name"], number, list(_words(line, number, indent + found.start("value"))))
        if option is not None:
            yield option


def _parsed(text: str, file: str) -> configparser.RawConfigParser:
    """Return what PasteDeploy would read; raises ConfigError where it could not."""
    if re.search(r"\r(?!\n)", text):
        raise ConfigError(f"{file}: has a carriage return within a line; accepted: lines that end in \\n or \\r\\n")
    ini = configparser.RawConfigParser()
    ini.optionxform = str  # type: ignore[method-assign,assignment]
    try:
        ini.read_string(text, file)
    except (configparser.DuplicateSectionError, configparser.DuplicateOptionError) as error:
        name = getattr(error, "option", None) or f"[{error.section}]"
        raise _error(file, (error.lineno or 1) - 1, f"`{name}` is there twice", "remove one of them") from None
    except configparser.MissingSectionHeaderError as error:
        raise _error(file, error.lineno - 1, "a line stands before the first section", "is it an ini file?") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        raise _error(file, line - 1, "neither a section, nor an option, nor a comment", "correct it first") from None
    return ini


def _lines(text: str) -> list[str]:
    # As a file is read: `splitlines` knows more ends of a line than a file does.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _words(line: str, number: int, start: int) -> Iterator[Word]:
    for match in re.finditer(r"\S+", line[start:]):
        yield Word(match[0], number, start + match.start())


def _insert_after(lines: list[str], word: Word) -> None:
    line, end = lines[word.line], word.start + len(word.text)
    lines[word.line] = f"{line[:end]} {FILTER}{line[end:]}"


def _remove(lines: list[str], word: Word) -> None:
    line, end = lines[word.line], word.start + len(word.text)
    if line.strip() == word.text:
        # A line of its own, within a value of several.
        lines[word.line] = ""
    elif word.start and line[word.start - 1] in " \t":
        lines[word.line] = line[: word.start - 1] + line[end:]
    else:
        lines[word.line] = line[: word.start] + line[end:].lstrip(" \t")


def _with_section(text: str, options: Mapping[str, str], newline: str) -> str:
    # The last line ends, or not, as the file's last line did: so taking the part out restores that too.
    complete = text.endswith("\n")
    part = [
        "",
        _BEGIN,
        f"[{SECTION}]",
        f"paste.filter_factory = {FACTORY}",
        *(f"{name} = {value}" for name, value in options.items()),
        *_hints(options),
        _END,
    ]
    return text + ("" if complete else newline) + newline.join(part) + (newline if complete else "")


def _hints(options: Mapping[str, str]) -> Iterator[str]:
    if "policy" not in options:
        yield "# Files and directories, separated by spaces. Without this line: the rules that come with the package."
        yield "#policy = /etc/glance/protect"
    if "mode" not in options:
        yield "# `shadow` decides and logs, and changes nothing: a way to try a policy on real traffic."
        yield "#mode = shadow"


def _without_section(text: str, file: str) -> str:
    lines = _lines(text)
    begins = [number for number, line in enumerate(lines) if line.rstrip("\r\n") == _BEGIN]
    ends = [number for number, line in enumerate(lines) if line.rstrip("\r\n") == _END]
    if not begins and not ends:
        return text
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        line = (begins + ends)[0]
        raise _error(
            file, line, "the part that `protect install` wrote has lost its begin or its end", "cut it out by hand"
        )
    begin, end = begins[0], ends[0]
    _check_only_ours(lines, begin, end, file)
    if begin and not lines[begin - 1].strip():
        begin -= 1
    before = "".join(lines[:begin])
    if not lines[end].endswith("\n"):
        before = before.removesuffix("\n").removesuffix("\r")
    return before + "".join(lines[end + 1 :])


def _check_only_ours(lines: Sequence[str], begin: int, end: int, file: str) -> None:
    for number in range(begin, end):
        header = _HEADER.match(lines[number].strip())
        if header and header[1] != SECTION:
            message = f"`[{header[1]}]` stands in the part that `protect install` wrote"
            raise _error(file, number, message, f"move it below `{_END}`")


def _check_only_the_filter_differs(before: str, after: str, file: str) -> None:
    if _without_filter(before, file) != _without_filter(after, file):
        raise ConfigError(f"{file}: this file cannot be edited safely; edit it by hand, docs/install.md tells how")


def _without_filter(text: str, file: str) -> dict[str, dict[str, list[str]]]:
    ini = _parsed(text, file)
    found = {section: dict(ini.items(section)) for section in ini.sections() if section != SECTION}
    found[""] = dict(ini.defaults())
    return {
        section: {name: [word for word in value.split() if word != FILTER] for name, value in options.items()}
        for section, options in found.items()
    }


def _left_alone(pipelines: Sequence[str]) -> str:
    return f"left alone, because nothing in them verifies who asks: {', '.join(pipelines)}"


def _title(option: Option) -> str:
    return option.section if option.name == "pipeline" else f"`{option.name}`"


def _error(file: str, line: int, message: str, help: str) -> ConfigError:
    return ConfigError(str(Problem(file, line + 1, 1, message, help)))
