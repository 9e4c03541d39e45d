"""Reading options: the text in a section of a pipeline file, checked one by one, with messages that say what to do."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from protect.errors import ConfigError
from protect.spelling import nearest

Choice = TypeVar("Choice", bound=StrEnum)
Default = TypeVar("Default", bound=int | None)

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def check_place(global_conf: Mapping[str, str], options: Collection[str], whose: str) -> None:
    """Raise ConfigError where an option of ours stands in the defaults. ``whose`` is `filter`, `proxy`, …

    PasteDeploy drops a section's option when [DEFAULT] has one of the same name, so the operator's section would be
    ignored without a word.
    """
    for name in options:
        if name in global_conf:
            raise ConfigError(
                f"`{name}` is set in [DEFAULT] or by the host, which hides it in the {whose}'s section; "
                "set it in the section only"
            )


def check_known(names: Collection[str], options: Collection[str]) -> None:
    """Raise ConfigError for an option that nobody reads."""
    for name in names:
        if name not in options:
            near = nearest(name, options)
            hint = f"did you mean `{near}`? " if near else ""
            raise ConfigError(f"unknown option `{name}`; {hint}known: {', '.join(options)}")


def choice(conf: Mapping[str, str], name: str, default: Choice) -> Choice:
    """Return the value of an option that takes one of few words; raises ConfigError."""
    kinds = type(default)
    value = conf.get(name, default).strip()
    try:
        return kinds(value)
    except ValueError:
        raise ConfigError(f"`{name} = {value}` is not accepted; accepted: {', '.join(kinds)}") from None


def words(conf: Mapping[str, str], name: str, what: str = "paths") -> tuple[str, ...]:
    """Return the words of an option; those with spaces are quoted. Raises ConfigError."""
    value = conf.get(name, "")
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ConfigError(
            f"`{name} = {value}` cannot be split into {what}: {str(error).lower()}; quote what has spaces"
        ) from None


def text(conf: Mapping[str, str], name: str) -> str | None:
    """Return an option's text, None where it is not set or empty."""
    return conf.get(name, "").strip() or None


def seconds(conf: Mapping[str, str], name: str, default: float, *, least: str = "0 for never") -> float:
    """Return a number of seconds, 0 or more; raises ConfigError. ``least`` says what 0 means; empty: 0 is refused."""
    value = conf.get(name, "").strip()
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not math.isfinite(number) or number < 0 or (number == 0 and not least):
        accepted = f"a number of seconds, {least}" if least else "a number of seconds above 0"
        raise ConfigError(f"`{name} = {value}` is not accepted; accepted: {accepted}")
    return number


def count(conf: Mapping[str, str], name: str, default: Default, what: str) -> int | Default:
    """Return a whole number above 0; raises ConfigError. ``what`` is what is counted."""
    value = conf.get(name, "").strip()
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 16) or int(value) == 0:
        raise ConfigError(f"`{name} = {value}` is not accepted; accepted: a number of {what} above 0")
    return int(value)


def flag(conf: Mapping[str, str], name: str) -> bool:
    """Return an option that is yes or no, and no where it is not set; raises ConfigError."""
    value = conf.get(name, "").strip().lower()
    if value in _YES:
        return True
    if value and value not in _NO:
        raise ConfigError(f"`{name} = {value}` is not accepted; accepted: yes, no")
    return False
