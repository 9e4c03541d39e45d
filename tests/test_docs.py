"""The docs say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protect.policy.vocabulary import TYPES

ROOT = Path(__file__).parent.parent
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in TYPES.items() for word in words])
def test_every_word_of_the_vocabulary_is_in_the_table(kind: str, word: str) -> None:
    row = next(line for line in ARCHITECTURE.splitlines() if line.startswith((f"| {kind} |", f"| `{kind.lower()}` |")))
    assert re.search(rf"`[^`]*\.{word}[`(]", row)


def test_every_module_of_the_picture_is_there() -> None:
    picture = ARCHITECTURE.split("## The house")[1].split("Imports point")[0]
    package = ""
    for line in picture.splitlines():
        for path in re.findall(r"(?:^|\s)(protect/\S*?|rules/\S*|paste/|examples/|tests/bench)(?=[\s,]|$)", line):
            assert (ROOT / path.rstrip("/")).exists(), path
        top = re.match(r"    (protect/\w+/)", line)
        package = top[1] if top else package
        module = re.match(r"        (\w+\.py)", line)
        if module:
            assert (ROOT / package / module[1]).exists(), package + module[1]


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
