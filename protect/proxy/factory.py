"""What a pipeline file names as the proxy: the filter with a distant image API behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from protect.connections import Connections
from protect.factories import filter_factory
from protect.proxy.forwarder import Forwarder
from protect.proxy.settings import PROXY_OPTIONS, ProxySettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> WSGIApplication:
    """``paste.app_factory``: loads the policy now; raises ConfigError and PolicyError as the filter does."""
    settings = ProxySettings.from_paste(global_conf, local_conf)
    options = {name: value for name, value in local_conf.items() if name not in PROXY_OPTIONS}
    wrap = filter_factory(global_conf, **options)
    connections = Connections(settings.upstream, timeout=settings.timeout, ca=settings.ca)
    return wrap(Forwarder(connections))
