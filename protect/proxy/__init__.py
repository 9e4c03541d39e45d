"""The proxy: the filter in front of an image API that is reached over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> WSGIApplication:
    """``paste.app_factory``: what the entry point names; see ``protect.proxy.factory``."""
    # Whoever only wants the forwarder or the settings does not load the filter with them.
    from protect.proxy.factory import app_factory as make

    return make(global_conf, **local_conf)
