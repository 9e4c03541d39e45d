"""`python -m protect`: the same as the console script."""

from __future__ import annotations

from protect.cli import console

console()
