"""Why: the same message as for an evaluation, answered with the way to the decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from protect import Policy
from tests.authzen.client import Client, act, ask, record, records, user


@pytest.fixture(scope="module")
def office() -> Client:
    return records()


def test_a_yes_names_the_rule(office: Client) -> None:
    answer = office.explain(ask()).document
    assert answer["decision"] is True
    assert answer["context"] == office.evaluate(ask()).document["context"]
    assert answer["rule"]["file"].endswith("records.polar")
    assert answer["rule"]["head"].startswith("allow(")
    assert answer["rule"]["line"] > 1
    assert {"question": 'subject.id equals "alice"', "answer": True} in answer["steps"]
    assert answer["nearest"] == []
    assert answer["text"].startswith("allowed: allowed by ")


def test_a_no_names_what_would_have_to_be_otherwise(office: Client) -> None:
    answer = office.explain(ask(action=act("write"), resource=record("record-2"))).document
    assert answer["decision"] is False
    assert answer["rule"] is None
    assert answer["nearest"][0]["rule"]["head"].startswith("allow(")
    changes = [near["changes"] for near in answer["nearest"]]
    assert [{"question": 'subject.get("role") equals "admin"', "answer": True}] in changes
    assert answer["text"].startswith("denied: no rule allows")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(ask(), id="yes"),
        pytest.param(ask(user("bob"), act("write")), id="no"),
        pytest.param(ask(action=act("unheard-of")), id="an action that no rule names"),
        pytest.param(ask(resource={"type": "image", "id": "gone"}, action=act("get_image")), id="an unknown image"),
    ],
)
def test_it_decides_as_an_evaluation_does(office: Client, message: dict[str, object]) -> None:
    explained = office.explain(message).document
    assert {key: explained[key] for key in ("decision", "context")} == office.evaluate(message).document
    assert office.recorded[-2][1] == office.recorded[-1][1]


def test_what_is_refused_as_an_evaluation_is_refused_here(office: Client) -> None:
    message = ask({"type": "user"})
    answer = office.explain(message)
    assert (answer.status, answer.text) == (400, office.evaluate(message).text)


def test_a_fact_that_was_not_given_is_one_that_would_have_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "p.polar"
    path.write_text('allow(s: Subject, "get_image", i: Image) if s.has_role("reader") and i.owner = s.tenant;')
    client = Client(Policy.load([str(path)]))

    def explained(role: str, **owner: str) -> dict[str, object]:
        image = {"type": "image", "id": "i", **({"properties": owner} if owner else {})}
        answer = client.explain(ask(user("u", roles=[role], tenant="t"), act("get_image"), image))
        assert answer.status == 200
        document: dict[str, object] = answer.document
        return document

    def changes(role: str, **owner: str) -> list[str]:
        (near,) = explained(role, **owner)["nearest"]  # type: ignore[attr-defined]
        return [change["question"] for change in near["changes"]]

    assert changes("other", owner="t") == ['subject has role "reader"']
    assert changes("other") == ['subject has role "reader"', "image.owner equals subject.tenant"]
    without = explained("other")
    assert without["decision"] is False
    assert "error" not in str(without["context"])
    assert "were not given" in str(explained("reader")["context"])
