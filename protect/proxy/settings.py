"""The proxy's own options: where the API behind it is. The filter's are read by `protect.settings`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protect import options
from protect.connections import Address, parse_address
from protect.errors import ConfigError
from protect.settings import OPTIONS
from protect.spelling import nearest

PROXY_OPTIONS = ("upstream", "upstream_timeout", "upstream_ca")
DEFAULT_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """``timeout``: seconds to connect, and between two signs of life of the API. ``ca``: a file of certificates."""

    upstream: Address
    timeout: float = DEFAULT_TIMEOUT
    ca: str | None = None

    @classmethod
    def from_paste(cls, global_conf: Mapping[str, str], local_conf: Mapping[str, str]) -> ProxySettings:
        """Read a section's options, and leave the filter's alone; raises ConfigError."""
        options.check_place(global_conf, PROXY_OPTIONS, "proxy")
        for name in local_conf.keys() - {*OPTIONS, *PROXY_OPTIONS}:
            _misspelled(name)
        upstream = local_conf.get("upstream", "").strip()
        if not upstream:
            raise ConfigError("`upstream` is missing; set it to the image API's address, such as http://127.0.0.1:9292")
        address = parse_address("upstream", upstream)
        return cls(address, _seconds(local_conf.get("upstream_timeout")), _ca(local_conf.get("upstream_ca"), address))


def _misspelled(name: str) -> None:
    # Any other unknown name is left to the filter's settings, which know what is close to it.
    near = nearest(name, PROXY_OPTIONS)
    if near:
        known = ", ".join((*PROXY_OPTIONS, *OPTIONS))
        raise ConfigError(f"unknown option `{name}`; did you mean `{near}`? known: {known}")


def _seconds(value: str | None) -> float:
    if value is None:
        return DEFAULT_TIMEOUT
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not math.isfinite(seconds) or seconds <= 0:
        raise ConfigError(f"`upstream_timeout = {value}` is not accepted; accepted: a number of seconds above 0")
    return seconds


def _ca(value: str | None, address: Address) -> str | None:
    path = (value or "").strip()
    if not path:
        return None
    if address.scheme != "https":
        raise ConfigError(f"`upstream_ca = {path}` is read for an https upstream only; set both, or leave it out")
    if not Path(path).is_file():
        raise ConfigError(f"`upstream_ca = {path}` is not a file; set it to a file of certificates in PEM format")
    return path
