"""The files for systemd, Docker and Kubernetes: they parse, and name only options and paths that there are."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from protect import Image, Policy, Query, Subject
from protect.errors import ConfigError
from protect.identity.guards import read_tokens
from protect.service.settings import OPTIONS, PREFIX, DecisionSettings, from_environment
from protect.serving import OPTIONS as SERVER_OPTIONS

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "examples" / "deploy"
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


def installed(text: str) -> set[str]:
    """The extras that a text has pip install, of a checkout."""
    return {
        extra
        for extras in re.findall(r"pip install [^\n]*?(?:\.|/src)\[([a-z,]+)\]", text)
        for extra in extras.split(",")
    }


def test_the_image_has_the_server() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [extra] = installed((DEPLOY / "Dockerfile").read_text())
    assert any(needed.startswith("granian") for needed in extras[extra])


def test_the_image_is_made_without_what_a_checkout_has_beside_its_sources() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".venv*", "build", "**/__pycache__"} <= set(ignored)
    needed = {"protect", "rules", "paste", "pyproject.toml", "README.md", "LICENSE"}
    assert not needed & set(ignored)


# On the public index `protect` is somebody else's package.
BY_NAME = re.compile(r"pip3? install (?:[^\n#]* )?['\"]?protect(?:\[[a-z,]*\])?['\"]?(?![\w./@-])")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pip install protect", True),
        ("python -m pip install --upgrade 'protect[serve]'", True),
        ("pip install protect==0.1.0", True),
        ('pip install "protect[lsp]" pygls', True),
        ("pip install .", False),
        ("pip install '.[serve]'", False),
        ("pip install ./protect", False),
        ('pip install "git+https://git.example/protect.git"', False),
        ("pip install protect-tools", False),
        ("/opt/protect/bin/pip install '.[serve]'", False),
    ],
)
def test_an_install_by_name_is_found(text: str, found: bool) -> None:
    assert bool(BY_NAME.search(text)) is found


def test_nobody_is_told_to_install_a_strangers_package() -> None:
    folders = [path for name in ("docs", "examples", "paste", "protect") for path in (ROOT / name).rglob("*")]
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".pre-commit-hooks.yaml", *folders]
    texts = {path: path.read_text() for path in files if path.is_file() and path.suffix not in (".pyc", ".png")}
    assert len(texts) > 100
    assert [str(path) for path, text in texts.items() if BY_NAME.search(text)] == []


def test_every_extra_that_somebody_is_told_to_install_is_one() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "protect").rglob("*.py"), *DEPLOY.iterdir()]
    told = {extra for path in files for extra in installed(path.read_text())}
    assert {"serve", "lsp", "completion"} <= told
    assert told <= extras.keys()
