"""Real nginx and real Envoy, as configured in examples/, in front of an image API that refuses nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from protect.glance.patches import V21
from tests.gateways.running import TOKEN, Answer, Server, application, endpoint, gateway
from tests.served import eventually

OWNER = "owner:t1:member,reader"
READER = "reader:t1:reader"
STRANGER = "stranger:t2:member,reader"
ADMIN = "admin:ops:admin,member,reader"
IMAGES = "/v2/images"


class Client:
    """Sends requests through a gateway, and knows what reached the API behind."""

    def __init__(self, server: Server, api: Server) -> None:
        self.server = server
        self.api = api
        self.image = self._make({"name": "one", "visibility": "private"})
        self.api.ask(
            "PUT",
            f"{IMAGES}/{self.image}/file",
            body=b"the data of the image",
            headers={"X-Auth-Token": OWNER, "Content-Type": "application/octet-stream"},
        )

    @property
    def path(self) -> str:
        return f"{IMAGES}/{self.image}"

    def ask(
        self, method: str, path: str, token: str | None = OWNER, body: Any = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Accept": "text/plain", "Content-Type": "application/json", **headers}
        return self.server.ask(method, path, body=raw, headers=sent | ({"X-Auth-Token": token} if token else {}))

    def status(self, *arguments: Any, **more: Any) -> int:
        return self.ask(*arguments, **more).status

    def stored(self) -> Any:
        return json.loads(self.api.ask("GET", self.path, headers={"X-Auth-Token": ADMIN}).body)

    def _make(self, document: Any) -> str:
        headers = {"X-Auth-Token": OWNER, "Content-Type": "application/json"}
        made = self.api.ask("POST", IMAGES, body=json.dumps(document).encode(), headers=headers)
        assert made.status == 201, made
        return str(json.loads(made.body)["id"])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with application("waitress", "api", tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module", params=["granian", "waitress"])
def decides(request: pytest.FixtureRequest, api: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with endpoint(request.param, tmp_path_factory.mktemp("endpoint"), api=api.address) as running:
        yield running


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def client(
    request: pytest.FixtureRequest, api: Server, decides: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp(request.param)
    with gateway(request.param, folder, endpoint=decides.address, api=api.address) as running:
        yield Client(running, api)


def test_what_is_allowed_passes_with_the_revision_of_the_policy(client: Client) -> None:
    answer = client.ask("GET", client.path)
    assert answer.status == 200
    assert json.loads(answer.body)["id"] == client.image
    assert len(answer.headers["x-policy-revision"]) > 8


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        pytest.param(OWNER, "", 200, id="what is allowed"),
        pytest.param(READER, "/file", 403, id="what is forbidden"),
        pytest.param(STRANGER, "", 404, id="what must not be known of"),
        pytest.param(ADMIN, "%2Ffile", 400, id="what can be read in two ways"),
        pytest.param(None, "", 401, id="what nobody asks for"),
    ],
)
def test_the_revision_comes_with_every_answer(client: Client, token: str | None, path: str, status: int) -> None:
    if client.server.name == "envoy" and status == 400:
        status, path = 404, "/nothing"  # Envoy refuses such a path itself
    answer = client.ask("GET", client.path + path, token)
    assert answer.status == status
    assert answer.headers["x-policy-revision"] == client.ask("GET", client.path).headers["x-policy-revision"]


def test_a_decision_is_logged_with_the_ids_of_its_request(client: Client, decides: Server) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    log = decides.log_file.parent / "decisions.json"

    def lines() -> list[Any]:
        found = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in found if line["trace_id"] == trace and line["subject"] == "traced"]

    ids = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-ID": "the-client's-own"}
    before = len(lines())
    assert client.status("GET", f"{client.path}/file", "traced:t1:member,reader", headers=ids) == 200
    eventually(lambda: len(lines()) > before, "a line with the trace of the request")
    line = lines()[-1]
    assert (line["action"], line["outcome"], line["enforcement_point"]) == ("download_image", "allowed", "gateway")
    # Envoy gives each request at its edge an id of its own.
    assert (line["request_id"] == "the-client's-own") is (client.server.name == "nginx")
    assert line["request_id"]


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(OWNER, 200, id="the owner downloads"),
        pytest.param(READER, 403, id="a reader does not, and knows of the image"),
        pytest.param(STRANGER, 404, id="another tenant must not know of it"),
        pytest.param("nonsense", 401, id="nobody knows who it is"),
        pytest.param(None, 401, id="nobody says who it is"),
    ],
)
def test_a_download_is_decided_on_before_it_starts(client: Client, token: str | None, status: int) -> None:
    answer = client.ask("GET", f"{client.path}/file", token)
    assert answer.status == status
    assert (answer.body == b"the data of the image") == (status == 200)


def test_an_unknown_user_is_challenged(client: Client) -> None:
    assert client.ask("GET", client.path, None).headers["www-authenticate"] == "Bearer"


def test_an_image_of_another_tenant_looks_like_one_that_does_not_exist(client: Client) -> None:
    missing = f"{IMAGES}/00000000-0000-4000-8000-000000000000"
    assert client.status("GET", client.path, STRANGER) == 404
    assert client.status("GET", missing, STRANGER) == 404


def test_a_list_passes_that_shows_nothing_hidden(client: Client) -> None:
    assert client.status("GET", IMAGES) == 200
    # This API shows everybody everything, and the rules do not.
    assert client.status("GET", IMAGES, STRANGER) == 403
    assert client.status("GET", IMAGES, ADMIN) == 200


@pytest.mark.parametrize("path", ["/v2/nothing", "/", "/v1/images", "/healthz", "/gateway/envoy/v2/images", "/protect"])
def test_a_path_that_the_api_does_not_have_reaches_nothing(client: Client, path: str) -> None:
    assert client.status("GET", path, ADMIN) in ((200, 300) if path == "/" else (403, 404))


@pytest.mark.parametrize(
    "spelling",
    [
        "/v2/images/{id}%2Ffile",
        "/v2/images/{id}%2ffile",
        "/v2/images/{id}%252Ffile",
        "/v2/schemas/..%2Fimages/{id}",
        "/v2/schemas/../images/{id}",
        "/v2/schemas/%2e%2e/images/{id}",
        "/v2/./images/{id}",
        "/v2//images/{id}",
        "//v2/images/{id}",
        "/v2/images/{id}/",
        "/v2/images/{id}\\file",
        "/v2/images/{id}%5Cfile",
        "/v2/images/{id}%00",
        "/v2/images/{id};x",
        "/v2/images/{id}%0d%0aX-Roles:%20admin",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(client: Client, spelling: str) -> None:
    path = spelling.format(id=client.image)
    for token in (OWNER, STRANGER, ADMIN):
        answer = client.ask("GET", path, token)
        assert 400 <= answer.status < 500, (token, answer)
        assert b"the data" not in answer.body


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Roles": "admin", "X-Identity-Status": "Confirmed", "X-Project-Id": "t1"},
        {"X_Roles": "admin", "X_Identity_Status": "Confirmed", "X_Project_Id": "t1"},
        {"X-Service-Roles": "service", "X-Service-Identity-Status": "Confirmed"},
        {"X-Protect-Token": TOKEN},
        {"X-Original-URI": "/v2/schemas/image", "X-Original-Method": "GET"},
        {"X_Original_URI": "/v2/schemas/image", "X_Original_Method": "GET"},
        {"X-Forwarded-Uri": "/v2/schemas/image"},
        {"X-Envoy-Original-Path": "/v2/schemas/image"},
        {"X-Rewrite-Url": "/v2/schemas/image", "X-Original-Url": "/v2/schemas/image"},
    ],
    ids=lambda forged: next(iter(forged)),
)
def test_a_header_that_a_client_forges_changes_nothing(client: Client, forged: dict[str, str]) -> None:
    assert client.status("GET", client.path, STRANGER, headers=forged) in (400, 404)
    assert client.status("GET", client.path, None, headers=forged) in (400, 401)
    assert client.status("DELETE", client.path, READER, headers=forged) in (400, 403)


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override"])
def test_a_request_does_not_become_another_method(client: Client, header: str) -> None:
    assert client.status("GET", client.path, headers={header: "DELETE"}) in (400, 403)
    assert client.stored()["id"] == client.image


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"name": "new", "os": "x"}, 201, id="a create that may be"),
        pytest.param({"name": "new", "kernel_id": "k"}, 403, id="one with a property that is not the user's"),
        pytest.param({"name": "new", "visibility": "public"}, 403, id="one for everybody"),
        pytest.param(b'{"name": 1, "name": 2}', 400, id="one that can be read in two ways"),
    ],
)
def test_a_create_is_decided_on_with_its_body(client: Client, body: Any, status: int) -> None:
    # nginx shows no body to whom it asks: what would have to be read is refused.
    assert client.status("POST", IMAGES, OWNER, body) == (403 if client.server.name == "nginx" else status)


def test_a_patch_is_decided_on_with_its_body(client: Client) -> None:
    def change(name: str) -> int:
        operation = {"op": "add", "path": f"/{name}", "value": "x"}
        return client.status("PATCH", client.path, OWNER, [operation], {"Content-Type": V21})

    assert change("os_distro") == (403 if client.server.name == "nginx" else 200)
    assert change("kernel_id") == 403
    assert "kernel_id" not in client.stored()


def test_an_upload_streams_past(client: Client) -> None:
    image = Client(client.server, client.api)._make({"name": "empty"})
    data = b"x" * 3_000_000
    sent = {"Content-Type": "application/octet-stream"}
    assert client.status("PUT", f"{IMAGES}/{image}/file", STRANGER, data, sent) == 404
    assert client.status("PUT", f"{IMAGES}/{image}/file", OWNER, data, sent) == 204
    assert client.ask("GET", f"{IMAGES}/{image}/file").body == data


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_when_nobody_answers_nothing_passes(name: str, api: Server, tmp_path: Path) -> None:
    with (
        endpoint("waitress", tmp_path, api=api.address) as decides,
        gateway(name, tmp_path, endpoint=decides.address, api=api.address) as running,
    ):
        client = Client(running, api)
        assert client.status("GET", client.path) == 200
        decides.stop()
        for method, path in (("GET", client.path), ("GET", "/v2/schemas/image"), ("DELETE", client.path)):
            assert client.status(method, path, ADMIN) in (403, 500)
        assert client.stored()["id"] == client.image


HIDING = """allow(_: Subject, _action, _resource);
forbid(_: Subject, "read", property: Property) if property.name = "secret";
"""


@pytest.mark.parametrize("name", ["nginx", "envoy"])
@pytest.mark.parametrize("server", ["granian", "waitress"])
def test_what_is_hidden_stays_so_whatever_becomes_of_the_question_before(
    name: str, server: str, tmp_path: Path
) -> None:
    (tmp_path / "hiding.polar").write_text(HIDING)
    with (
        application("waitress", "api", tmp_path) as api,
        endpoint(server, tmp_path, api=api.address, PROTECT_POLICY=str(tmp_path / "hiding.polar")) as decides,
        gateway(name, tmp_path, endpoint=decides.address, api=api.address) as running,
    ):
        client = Client(running, api)
        hosts = ("images.example", "a!b", "a_b~c", "[")

        def seen(host: str) -> Answer:
            return client.ask("GET", IMAGES, headers={"Host": host, "X-Auth-Token": OWNER})

        # Both gateways pass on a strange Host; where they refuse one, it is them.
        assert [seen(host).status for host in hosts[:2]] == [200, 200]
        assert all(seen(host).status in (200, 400) for host in hosts)
        client._make({"name": "two", "secret": "the secret"})
        for host in hosts:
            answer = seen(host)
            assert answer.status in (400, 403), (host, answer)
            assert b"the secret" not in answer.body
        assert b"the secret" in client.api.ask("GET", IMAGES, headers={"X-Auth-Token": OWNER}).body


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_a_gateway_that_is_not_known_does_not_blame_its_client(
    name: str, decides: Server, api: Server, tmp_path: Path
) -> None:
    with gateway(name, tmp_path, endpoint=decides.address, api=api.address, token="f" * 64) as running:
        client = Client(running, api)
        for token in (OWNER, ADMIN, None):
            answer = client.ask("GET", client.path, token)
            assert (answer.status, "www-authenticate" in answer.headers) == (403, False)
            assert b"not known" not in answer.body
        assert "refused a gateway's question to /gateway/" + name in decides.log()


@pytest.mark.parametrize("path", ["/gateway/envoy", "/gateway/envoyx", "/gateway/envoyer/v2/images"])
def test_a_path_that_only_begins_like_a_gateways_is_nothing(decides: Server, path: str) -> None:
    headers = {"X-Auth-Token": ADMIN, "X-Protect-Token": TOKEN}
    assert decides.ask("GET", "/gateway/envoy/v2/images", headers=headers).status == 200
    assert decides.ask("GET", path, headers=headers).status in (400, 404)


def test_a_gateway_without_the_right_token_passes_nothing(decides: Server, api: Server) -> None:
    headers = {"X-Auth-Token": ADMIN, "X-Forwarded-Method": "GET", "X-Forwarded-Uri": IMAGES}
    assert decides.ask("GET", "/gateway/traefik", headers={**headers, "X-Protect-Token": TOKEN}).status == 200
    assert decides.ask("GET", "/gateway/traefik", headers=headers).status == 403
    assert decides.ask("GET", "/gateway/traefik", headers={**headers, "X-Protect-Token": "x"}).status == 403


# Traefik is no package that a test could install: what it sends is sent as its documentation says.


@pytest.mark.parametrize(
    ("token", "method", "uri", "status"),
    [
        (OWNER, "GET", "{path}", 200),
        (OWNER, "GET", "{path}/file", 200),
        (READER, "GET", "{path}/file", 403),
        (STRANGER, "GET", "{path}/file", 404),
        (None, "GET", "{path}", 401),
        (ADMIN, "GET", "{path}%2Ffile", 400),
        (ADMIN, "GET", "/v2/schemas/../images", 400),
        (ADMIN, "GET", "/v2/nothing", 404),
        (OWNER, "DELETE", "{path}", 200),
        (READER, "DELETE", "{path}", 403),
        (OWNER, "GET", "/v2/images?limit=1", 200),
    ],
)
def test_what_traefik_sends_is_decided_on(
    decides: Server, api: Server, token: str | None, method: str, uri: str, status: int
) -> None:
    image = Client(decides, api)
    headers = {
        "X-Protect-Token": TOKEN,
        "X-Forwarded-Method": method,
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "images.example",
        "X-Forwarded-Uri": uri.format(path=image.path),
        "X-Forwarded-For": "192.0.2.7",
    }
    answer = decides.ask("GET", "/gateway/traefik", headers=headers | ({"X-Auth-Token": token} if token else {}))
    assert answer.status == status
    assert answer.headers["x-policy-revision"]


@pytest.mark.parametrize(("body", "status"), [({"os": "x"}, 200), ({"kernel_id": "k"}, 403), (None, 403)])
def test_a_body_that_traefik_forwards_is_decided_on(decides: Server, body: Any, status: int) -> None:
    headers = {
        "X-Protect-Token": TOKEN,
        "X-Auth-Token": OWNER,
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Uri": IMAGES,
        "Content-Type": "application/json",
    }
    raw = None if body is None else json.dumps(body).encode()
    assert decides.ask("GET", "/gateway/traefik", body=raw, headers=headers).status == status
