"""The decision endpoint as the check sees it: one question, and yes or no."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from protect.connections import Connections, parse_address
from protect.errors import ConfigError, ProtectError

PATH = "/access/v1/evaluation"
DEFAULT_TIMEOUT = 2.0
MAX_ANSWER = 1 << 20  # bytes


class Undecided(ProtectError):
    """There is no decision. The message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where to ask and how. ``timeout``: seconds to connect, and between two signs of life."""

    url: str
    timeout: float = DEFAULT_TIMEOUT
    token_file: str | None = None
    ca_file: str | None = None


def options(match: str, environ: Mapping[str, str]) -> Options:
    """Return the options for the rule `protect:<match>`; raises ConfigError."""
    url = match or environ.get("PROTECT_URL", "")
    if not url:
        raise ConfigError("the rule names no decision endpoint, and PROTECT_URL is not set")
    given = environ.get("PROTECT_TIMEOUT", str(DEFAULT_TIMEOUT))
    try:
        timeout = float(given)
    except ValueError:
        timeout = 0
    if not 0 < timeout < 3600:
        raise ConfigError(f"`PROTECT_TIMEOUT = {given}` is not accepted; accepted: a number of seconds above 0")
    return Options(url, timeout, environ.get("PROTECT_TOKEN_FILE") or None, environ.get("PROTECT_CA_FILE") or None)


class Client:
    """Asks one decision endpoint, from any number of threads and of processes that were forked since."""

    def __init__(self, options: Options) -> None:
        """Raises ConfigError for an address that is none, OSError for certificates that cannot be read."""
        address = parse_address("protect", options.url)
        self._connections = Connections(address, timeout=options.timeout, ca=options.ca_file)
        self._path = address.prefix + PATH
        self._token_file = options.token_file

    def allowed(self, message: object) -> bool:
        """Return the decision. Raises Undecided, OSError, HTTPException and ValueError: for the caller, all denials."""
        body = json.dumps(message, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._authorization()}
        idle = self._connections.idle()
        if idle is not None:
            try:
                return self._ask(idle, body, headers)
            except ConnectionError:
                # Closed at that very moment. Asking has no effect, so it may be repeated.
                pass
        return self._ask(self._connections.fresh(), body, headers)

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        # Read each time: a token that is renewed is used at once.
        token = Path(self._token_file).read_text(encoding="ascii").strip()
        if not token:
            raise Undecided(f"the file {self._token_file} has no token")
        return {"Authorization": f"Bearer {token}"}

    def _ask(self, connection: HTTPConnection, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            connection.request("POST", self._path, body, dict(headers))
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER)
            complete = response.isclosed() and not response.will_close
            decision = _decision(response, answer)
        except BaseException:
            connection.close()
            raise
        if complete:
            self._connections.keep(connection)
        else:
            connection.close()
        return decision


def _decision(response: HTTPResponse, answer: bytes) -> bool:
    if response.status != 200:
        raise Undecided(f"the decision endpoint answered {response.status}")
    if response.length:
        raise Undecided("the decision endpoint's answer breaks off, or is too long")
    document = json.loads(answer, object_pairs_hook=_once)
    decision = document.get("decision") if isinstance(document, dict) else None
    if not isinstance(decision, bool):
        raise Undecided("the decision endpoint's answer has no decision")
    return decision


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Undecided("the decision endpoint's answer says something twice")
    return found
