"""Text of somebody else's, written so that it drives no terminal and starts no line of its own."""

from __future__ import annotations


def visible(said: str) -> str:
    """Return text with nothing in it that a terminal obeys or that a reader does not see; line ends are escaped too."""
    return said if said.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in said)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
