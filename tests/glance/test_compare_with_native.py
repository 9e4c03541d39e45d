"""The comparison with Glance's own protection, on a few hundred requests; the script runs thousands."""

from __future__ import annotations

import pytest

from tests.glance.compare_with_native import PROTECTIONS, Case, Result, cases, compare, explained
from tests.glance.conftest import StartGlance


def test_only_what_is_meant_differs(start_glance: StartGlance) -> None:
    native = start_glance(native=PROTECTIONS)
    (native.directory / "protections.conf").write_text(PROTECTIONS)
    ours = start_glance(protect={"policy": str(native.directory / "protections.conf")})

    report = compare(native, ours, cases(200, seed=3))

    assert report.unexplained == [], str(report)
    assert report.alike > 100
    assert sum("a write deletes" in name for name in report.meant) == 1


ASKED = Case(0, "the owner", "PATCH name", "nothing_1", "open_1", "queued", "private")
TRUTH = {"name": "renamed", "nothing_1": "stored", "read_only_1": "stored"}
BODY = {"name": "renamed", "read_only_1": "stored"}


@pytest.mark.parametrize(
    ("native", "ours", "name"),
    [
        pytest.param(Result(200, BODY, BODY), Result(200, BODY, TRUTH), "1: ", id="Glance loses a hidden property"),
        pytest.param(
            Result(200, BODY, {"name": "renamed", "nothing_1": "stored"}),
            Result(200, BODY, TRUTH),
            None,
            id="Glance loses a readable property",
        ),
        pytest.param(Result(200, BODY, TRUTH), Result(200, BODY, BODY), None, id="we lose a hidden property"),
        pytest.param(Result(200, BODY, BODY), Result(200, TRUTH, TRUTH), None, id="we show a hidden property"),
        pytest.param(Result(403, "", TRUTH), Result(200, BODY, TRUTH), None, id="we allow what Glance refuses"),
    ],
)
def test_a_difference_has_a_name_or_is_one_too_many(native: Result, ours: Result, name: str | None) -> None:
    found = explained(ASKED, native, ours, again=lambda case: ours)
    assert found is None if name is None else found is not None and found.startswith(name)
