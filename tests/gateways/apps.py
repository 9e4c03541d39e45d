"""What stands behind the gateways in tests: an image API without a policy of its own, and the decision endpoint."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from paste.deploy import loadapp

from examples.demo_identity import DemoIdentity
from examples.image_api import ImageAPI

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROOT = Path(__file__).parent.parent.parent
INI = ROOT / "paste" / "gateway.ini"

#: In place of keystonemiddleware, which has no Keystone to ask here.
AUTHTOKEN = """[filter:authtoken]
paste.filter_factory = examples.demo_identity:filter_factory
i_know_this_is_no_security = yes

"""


def api() -> WSGIApplication:
    """Return an API that believes the demonstration's tokens, as the decision endpoint does."""
    return DemoIdentity(ImageAPI())


def endpoint() -> WSGIApplication:
    """Return the pipeline that is shipped for gateways; what is otherwise here, variables say."""
    text, found = re.subn(r"(?ms)^\[filter:authtoken\]$.*?(?=^\[)", AUTHTOKEN, INI.read_text(encoding="utf-8"))
    assert found == 1
    ini = Path(os.environ["ENDPOINT_FOLDER"]) / INI.name
    ini.write_text(text, encoding="utf-8")
    app: WSGIApplication = loadapp(f"config:{ini}")
    return app
