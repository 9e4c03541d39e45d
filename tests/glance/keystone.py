"""Keystone's answers to keystonemiddleware: a token `user:project:role,role` is valid, and says who asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AUTH_TOKEN_CONF = """\
[keystone_authtoken]
www_authenticate_uri = {url}/v3
auth_type = v3password
auth_url = {url}/v3
username = glance
password = secret
user_domain_id = default
project_name = service
project_domain_id = default
"""

#: Glance's own pipeline for Keystone, as it ships it; ours stands where `protect install` puts it.
PASTE_INI = """\
[pipeline:glance-api-keystone]
pipeline = cors http_proxy_to_wsgi versionnegotiation osprofiler authtoken {protect} context rootapp
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = glance
oslo_config_program = glance-api
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
"""


def _token(said: str, address: str) -> dict[str, object]:
    user, project, roles = said.split(":")
    domain = {"id": "default", "name": "Default"}
    endpoints = [
        {"id": name, "interface": name, "region": "r", "region_id": "r", "url": f"{address}/v3"}
        for name in ("public", "internal", "admin")
    ]
    return {
        "methods": ["password"],
        "audit_ids": ["audit"],
        "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": "2100-01-01T00:00:00.000000Z",
        "user": {"id": user, "name": user, "domain": domain, "password_expires_at": None},
        "project": {"id": project, "name": project, "domain": domain},
        "roles": [{"id": name, "name": name} for name in roles.split(",")],
        "is_domain": False,
        "catalog": [{"id": "k", "name": "keystone", "type": "identity", "endpoints": endpoints}],
    }


SERVICE = "glance:service:service"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def do_GET(self) -> None:
        if self.path.endswith("/auth/tokens"):
            self._answer(200, {"token": _token(self.headers["X-Subject-Token"], self._address)})
        else:
            links = [{"rel": "self", "href": f"{self._address}/v3/"}]
            self._answer(200, {"version": {"id": "v3.14", "status": "stable", "links": links, "media-types": []}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, {"token": _token(SERVICE, self._address)}, {"X-Subject-Token": SERVICE})

    def _answer(self, status: int, document: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def running_keystone() -> Iterator[str]:
    """Answer while inside, and give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
