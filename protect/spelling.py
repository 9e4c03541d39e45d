"""The known word that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """Return the one of ``known`` that is most like ``word``; None where none is as much ``alike``, from 0 to 1."""
    # Imported here: most runs of a command meet no misspelt word.
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=alike)), None)
