"""Where the shipped rules are."""

from __future__ import annotations

from pathlib import Path

from protect.errors import ConfigError


def shipped_rules() -> Path:
    """Return the directory of the shipped rules: the installed copy, else the checkout's.

    Raises ConfigError when neither is there.
    """
    package = Path(__file__).parent
    checkout = package.parent
    if (package / "rules").is_dir():
        return package / "rules"
    # Only inside our own checkout: beside an installed package, `rules` would be somebody else's.
    if (checkout / "pyproject.toml").is_file() and (checkout / "rules").is_dir():
        return checkout / "rules"
    raise ConfigError("the shipped rules are missing: reinstall protect, or set `policy` to files of your own")
