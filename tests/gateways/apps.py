"""What stands behind the gateways in tests: an image API without a policy of its own, and the decision endpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from examples.demo_identity import DemoIdentity
from examples.image_api import ImageAPI
from protect import Policy
from protect.connections import Connections, parse_address
from protect.identity.callers import Unauthenticated
from protect.identity.keystone import identify
from protect.proxy.forwarder import Forwarder
from protect.service import gateways
from protect.service.app import Service
from protect.service.calls import Limits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TOKEN = "change-me-to-the-token-in-protects-file"


def api() -> WSGIApplication:
    """Return an API that believes the demonstration's tokens, as the decision endpoint does."""
    return DemoIdentity(ImageAPI())


def endpoint() -> WSGIApplication:
    """Return the endpoints of the gateways with the shipped rules, which ask the API at `IMAGE_API` for facts."""
    policy = Policy.load()
    upstream = Forwarder(Connections(parse_address("upstream", os.environ["IMAGE_API"]), timeout=10))
    routes = gateways.routes(
        policy=lambda: policy, record=lambda query, decision, call: None, identify=identify, upstream=upstream
    )
    return DemoIdentity(Service(routes, guard=_guard, limits=Limits()))


def _guard(environ: Mapping[str, object], header: str) -> str:
    if environ.get(f"HTTP_{header}") != TOKEN:
        raise Unauthenticated("not the gateway")
    return "gateway"
