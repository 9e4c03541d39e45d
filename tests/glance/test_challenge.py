"""A refusal of those unknown says where to authenticate: keystonemiddleware, before us, adds that to our 401."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.glance.server import PYTHON

SCRIPT = """
import json
from keystonemiddleware.auth_token import AuthProtocol
from webob import Request, Response
from protect.enforcement import Protect
from protect.identity.keystone import identify
from protect.values import Decision

class Nobody:
    revision = "r"
    def decide(self, query):
        return Decision(False, "no rule allows it")

reached = []
def api(environ, start_response):
    reached.append(environ["REQUEST_METHOD"])
    return Response("the API")(environ, start_response)

options = {"delay_auth_decision": "true", "www_authenticate_uri": "http://identity/v3", "auth_type": None}
app = AuthProtocol(Protect(api, policy=Nobody, identify=identify, log=lambda entry: None), options)
answers = []
for method in ("DELETE", "PUT"):
    path = "/v2/images/00000000-0000-4000-8000-000000000001" + ("/tags/x" if method == "PUT" else "")
    answer = Request.blank(path, method=method).get_response(app)
    answers.append([answer.status_int, answer.headers.get("WWW-Authenticate")])
print(json.dumps([answers, reached]))
"""


def test_those_unknown_are_told_where_to_authenticate(root: Path) -> None:
    if not PYTHON.exists():
        pytest.skip("no Glance environment: set PROTECT_GLANCE_ENV")
    command = [PYTHON, "-W", "ignore", "-c", SCRIPT]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    answers, reached = json.loads(run.stdout.splitlines()[-1])
    assert answers == [[401, 'Keystone uri="http://identity/v3"']] * 2
    assert reached == []
