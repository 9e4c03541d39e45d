"""Which store the data go to or come from: a rule sees what the API itself goes by, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from webob import Request, Response

from protect.values import Query
from tests.image_api import ImageApi, image
from tests.test_enforcement import V2, Bench

DOWNLOAD, UPLOAD, IMPORT = f"GET {V2}/file", f"PUT {V2}/file", f"POST {V2}/import"
COPY = {"method": {"name": "copy-image"}}


def not_gold(query: Query) -> bool:
    return query.context.get("store") != "gold" or query.action == "get_image"


def only_bronze(query: Query) -> bool:
    return query.context.get("store") == "bronze" or query.action == "get_image"


class Stores(ImageApi):
    """An image API that tells its stores."""

    def __init__(self, *stores: str) -> None:
        super().__init__(image(1))
        self.stores = stores

    def _respond(self, request: Request) -> Response:
        if request.path_info == "/v2/info/stores":
            return Response(json_body={"stores": [{"id": store} for store in self.stores]})
        return super()._respond(request)


def ask(
    rule: Callable[[Query], bool], api: ImageApi, line: str, body: Any, header: str | None
) -> tuple[int, list[str]]:
    method, path = line.split()
    bench = Bench(rule, app=api)
    response = bench.ask(method, path, body, headers={"X-Image-Meta-Store": header} if header else {})
    changed = [call for call in api.calls if not call.startswith("GET") or call.endswith("/file")]
    return response.status_int, changed


@pytest.mark.parametrize(
    ("rule", "line", "body", "header", "passes"),
    [
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=gold", None, None, False, id="prefers-gold"),
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=bronze", None, None, True, id="prefers-bronze"),
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=gold", None, "bronze", False, id="prefers-gold-header-bronze"),
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=gold,bronze", None, None, False, id="gold-then-bronze"),
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=bronze,%20gold%20", None, None, False, id="bronze-then-gold"),
        pytest.param(not_gold, f"{DOWNLOAD}?prefer=bronze,silver", None, None, True, id="bronze-then-silver"),
        pytest.param(not_gold, f"{DOWNLOAD}", None, "gold", True, id="a-header-that-a-download-ignores"),
        pytest.param(only_bronze, UPLOAD, b"data", "bronze", True, id="upload-to-bronze"),
        pytest.param(only_bronze, UPLOAD, b"data", None, False, id="upload-to-wherever"),
        pytest.param(only_bronze, f"{UPLOAD}?prefer=bronze", b"data", None, False, id="upload-that-prefers"),
        pytest.param(only_bronze, f"PUT {V2}/stage", b"data", "bronze", False, id="a-header-that-staging-ignores"),
        pytest.param(not_gold, IMPORT, COPY | {"stores": ["bronze"]}, None, True, id="import-to-bronze"),
        pytest.param(not_gold, IMPORT, COPY | {"stores": ["bronze", "gold"]}, None, False, id="import-to-both"),
        pytest.param(not_gold, IMPORT, COPY, "gold", False, id="import-by-header"),
        pytest.param(not_gold, IMPORT, COPY, "bronze", True, id="import-by-another-header"),
        pytest.param(not_gold, IMPORT, COPY | {"stores": ["gold"]}, "bronze", False, id="import-body-before-header"),
        pytest.param(only_bronze, IMPORT, COPY | {"stores": ["bronze"]}, None, True, id="import-where-allowed"),
        pytest.param(only_bronze, IMPORT, COPY | {"stores": []}, None, False, id="import-to-none"),
        pytest.param(not_gold, f"DELETE /v2/stores/gold/{image(1)['id']}", None, None, False, id="delete-from-gold"),
        pytest.param(not_gold, f"DELETE /v2/stores/bronze/{image(1)['id']}", None, None, True, id="delete-from-bronze"),
        pytest.param(not_gold, f"DELETE {V2}", None, "gold", True, id="a-header-where-no-store-is-named"),
    ],
)
def test_a_rule_about_the_store_holds_however_it_is_named(
    rule: Callable[[Query], bool], line: str, body: Any, header: str | None, passes: bool
) -> None:
    status, reached = ask(rule, Stores(), line, body, header)
    assert ((status < 300), len(reached)) == ((True, 1) if passes else (False, 0))
    assert passes or status == 403


@pytest.mark.parametrize(
    ("stores", "status"),
    [
        pytest.param(("bronze", "silver"), 204, id="none-is-forbidden"),
        pytest.param(("bronze", "gold"), 403, id="one-is-forbidden"),
        pytest.param((), 502, id="the-api-does-not-tell"),
    ],
)
def test_an_import_into_all_stores_is_decided_for_each(stores: tuple[str, ...], status: int) -> None:
    found, reached = ask(not_gold, Stores(*stores), IMPORT, COPY | {"all_stores": True}, None)
    assert (found, len(reached)) == (status, status == 204)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"all_stores": "yes"}, id="all-stores-as-text"),
        pytest.param({"all_stores": True, "stores": ["bronze"]}, id="both"),
        pytest.param({"stores": "gold"}, id="stores-as-text"),
        pytest.param({"stores": [1]}, id="a-store-that-is-a-number"),
        pytest.param({"stores": [f"s{n}" for n in range(101)]}, id="too-many"),
    ],
)
def test_stores_that_cannot_be_told_are_refused(more: dict[str, Any]) -> None:
    assert ask(not_gold, Stores("bronze"), IMPORT, COPY | more, None) == (400, [])


def test_a_preference_given_twice_is_refused() -> None:
    assert ask(not_gold, Stores(), f"{DOWNLOAD}?prefer=bronze&prefer=bronze", None, None) == (400, [])
