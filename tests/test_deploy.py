"""The files for systemd, Docker and Kubernetes: they parse, and name only options and paths that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from protect import Image, Policy, Query, Subject
from protect.errors import ConfigError
from protect.identity.callers import read_tokens
from protect.service.settings import OPTIONS, PREFIX, DecisionSettings, from_environment
from protect.serving import OPTIONS as SERVER_OPTIONS

DEPLOY = Path(__file__).parent.parent / "examples" / "deploy"
VARIABLES = {PREFIX + name.upper() for name in (*OPTIONS, *SERVER_OPTIONS)}
FILES = sorted(DEPLOY.iterdir())


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def sidecar(manifest: dict[str, Any]) -> dict[str, Any]:
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    return next(dict(container) for container in pod["containers"] if container["name"] == "protect")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_an_option(path: Path) -> None:
    named = set(re.findall(r"\bPROTECT_[A-Z_]+", path.read_text()))
    assert named
    assert named <= VARIABLES


def test_the_manifests_options_are_accepted(manifest: dict[str, Any]) -> None:
    environment = {each["name"]: each["value"] for each in sidecar(manifest)["env"]}
    DecisionSettings.from_paste({}, {}, environment)
    assert set(from_environment(environment)) == {"policy", "authentication", "tokens"}


def test_the_manifests_paths_are_mounted_and_whole(manifest: dict[str, Any]) -> None:
    container = sidecar(manifest)
    environment = {each["name"]: each["value"] for each in container["env"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    policy, tokens = Path(environment["PROTECT_POLICY"]), Path(environment["PROTECT_TOKENS"])
    assert {str(policy.parent), str(tokens.parent)} <= mounts.keys()
    assert not any("subPath" in mount for mount in mounts.values())  # such a file never changes
    assert policy.name in manifest["ConfigMap"]["data"]
    assert tokens.name in manifest["Secret"]["stringData"]


def test_the_manifests_policy_loads(manifest: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "policy.polar"
    path.write_text(manifest["ConfigMap"]["data"]["policy.polar"])
    policy = Policy.load([str(path)])
    member = Subject(id="u", tenant="t", roles=frozenset({"member"}))
    for owner, allowed in (("t", True), ("t2", False)):
        assert policy.decide(Query(member, "download_image", Image("i", owner=owner))).allowed is allowed


def test_the_manifests_token_is_refused_until_it_is_replaced(manifest: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(manifest["Secret"]["stringData"]["tokens"] + "\n")
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        read_tokens(str(path))


def test_the_units_command_line_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read(DEPLOY / "protect.service")
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[1] == "serve"
    flags = [word[2:].replace("-", "_") for word in words if word.startswith("--")]
    assert set(flags) <= {*OPTIONS, *SERVER_OPTIONS}
    assert Path(words[words.index("--unix") + 1]).parent == Path("/run") / unit["Service"]["RuntimeDirectory"]
    assert unit["Service"]["ExecReload"].endswith("kill -HUP $MAINPID")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="without systemd")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "protect.service").read_text()
    path = tmp_path / "protect.service"
    path.write_text(text.replace("/opt/protect/bin/protect", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True)
    assert "protect.service:" not in done.stderr, done.stderr


def test_the_dockerfile_runs_as_nobody_in_particular() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert text.index("USER 10001") < text.index("ENTRYPOINT")
    assert "HEALTHCHECK" in text
    assert '["protect", "serve"]' in text
