"""Guards of the house: the layers, the names, the files, what is packed, what the pipelines say."""

from __future__ import annotations

import ast
import configparser
import re
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import paste.deploy
import pytest
from hatchling.builders.wheel import WheelBuilder
from paste.deploy.loadwsgi import ConfigLoader

from protect.service.settings import OPTIONS as ENDPOINT_OPTIONS

ROOT = Path(__file__).parent.parent

# Who may import what of ours: the longest prefix that fits a module is its layer, and a module may also
# import from its own layer. A module that fits only the first row imports errors and values, nothing more.
LAYERS: dict[str, tuple[str, ...]] = {
    "protect": ("protect.errors", "protect.values", "protect.spelling"),
    # The package's face: what `from protect import ...` finds.
    "protect.__init__": ("protect.errors", "protect.values", "protect.decisions", "protect.policy"),
    "protect.errors": (),
    "protect.values": ("protect.errors",),
    "protect.decisions": ("protect.errors", "protect.values"),
    "protect.json_bodies": ("protect.errors",),
    "protect.showing": (),
    "protect.spelling": (),
    # The policy: pure. No HTTP, no clock, no wire format, and no compiler.
    "protect.policy": ("protect.errors", "protect.values", "protect.decisions"),
    # `Policy.load` is the door to the compiler; it imports it when it is called, so that a compiled policy
    # does without.
    "protect.policy.policy": (
        "protect.errors",
        "protect.values",
        "protect.decisions",
        "protect.policy",
        "protect.loading",
    ),
    # The compiler: Polar's syntax knows nothing but text; the interview turns rules into graphs.
    "protect.polar.syntax": ("protect.errors",),
    "protect.polar.tokens": ("protect.errors",),
    "protect.polar.cursor": ("protect.errors", "protect.polar.syntax", "protect.polar.tokens"),
    "protect.polar.expressions": (
        "protect.errors",
        "protect.polar.syntax",
        "protect.polar.tokens",
        "protect.polar.cursor",
    ),
    "protect.polar.terms": ("protect.polar.syntax", "protect.polar.tokens", "protect.polar.expressions"),
    "protect.polar.parser": (
        "protect.errors",
        "protect.polar.syntax",
        "protect.polar.tokens",
        "protect.polar.cursor",
        "protect.polar.expressions",
        "protect.polar.terms",
    ),
    # What the text alone tells: before Oso is asked, and for whoever does without it.
    "protect.polar.flow": ("protect.polar.check", "protect.polar.syntax"),
    "protect.polar.heads": ("protect.polar.syntax", "protect.policy.vocabulary"),
    "protect.polar.effort": ("protect.polar.syntax",),
    "protect.polar.explored": ("protect.policy.graph",),
    "protect.polar": ("protect.errors", "protect.values", "protect.spelling", "protect.policy"),
    # Exact answers about policies, from their graphs alone.
    "protect.analysis": ("protect.errors", "protect.values", "protect.policy", "protect.glance.attributes"),
    # Protection files become graphs without Polar.
    "protect.protections": ("protect.errors", "protect.values", "protect.spelling", "protect.policy"),
    "protect.protections.ini": ("protect.errors",),
    "protect.loading": (
        "protect.errors",
        "protect.values",
        "protect.locate",
        "protect.policy",
        "protect.polar",
        "protect.protections",
    ),
    # Checks of policy files: pure but for files' modes and remembered graphs. Never Oso: the compiler is imported when
    # it is needed, and does without where there is none.
    "protect.lint": (
        "protect.errors",
        "protect.showing",
        "protect.spelling",
        "protect.values",
        "protect.locate",
        "protect.policy",
        "protect.polar",
        "protect.protections",
        "protect.glance",
        "protect.analysis",
    ),
    # Tests of a policy: a file of them in, results out. Reads and compiles the policy that a file names.
    "protect.testing": (
        "protect.errors",
        "protect.showing",
        "protect.spelling",
        "protect.values",
        "protect.loading",
        "protect.policy",
        "protect.polar",
        "protect.protections",
        "protect.glance.attributes",
        "protect.analysis",
        "protect.lint.known",
    ),
    # Threads that look now and then.
    "protect.watching": (),
    "protect.reload": (
        "protect.errors",
        "protect.watching",
        "protect.values",
        "protect.decisions",
        "protect.policy",
        "protect.loading",
    ),
    # An API's wire format and the identity: pure, and strangers to the policy.
    "protect.glance": ("protect.errors", "protect.values", "protect.decisions", "protect.json_bodies"),
    "protect.authzen": ("protect.errors", "protect.values", "protect.json_bodies", "protect.glance"),
    "protect.identity": ("protect.errors", "protect.values"),
    # Tokens: what stands in them is pure; their keys are fetched.
    "protect.identity.keys": ("protect.errors", "protect.json_bodies", "protect.identity.algorithms"),
    "protect.identity.fetching": ("protect.errors", "protect.identity.keys"),
    "protect.identity.keyring": ("protect.errors", "protect.identity.keys", "protect.watching"),
    "protect.identity.guards": (
        "protect.errors",
        "protect.identity.bearer",
        "protect.identity.claims",
        "protect.watching",
    ),
    "protect.identity.jwt": (
        "protect.errors",
        "protect.json_bodies",
        "protect.identity.algorithms",
        "protect.identity.claims",
        "protect.identity.keys",
    ),
    # The enforcement point is handed a decision point and never meets the policy.
    "protect.upstream": ("protect.errors", "protect.values", "protect.json_bodies", "protect.glance"),
    "protect.enforcement": (
        "protect.errors",
        "protect.values",
        "protect.decisions",
        "protect.json_bodies",
        "protect.glance",
        "protect.identity",
        "protect.upstream",
    ),
    # The decision endpoint: answers over HTTP what the policy answers. It knows doors, to answer for a gateway.
    "protect.service": (
        "protect.errors",
        "protect.values",
        "protect.decisions",
        "protect.json_bodies",
        "protect.policy",
        "protect.glance",
        "protect.authzen",
        "protect.identity",
        "protect.upstream",
        "protect.enforcement",
        "protect.reload",
        "protect.watching",
    ),
    # What a proxy says of a connection holds for a gateway's question too.
    "protect.service.originals": ("protect.errors", "protect.proxy.headers"),
    "protect.service.recording": (
        "protect.values",
        "protect.service",
        "protect.settings",
        "protect.enforcement.logged_facts",
    ),
    "protect.service.settings": (
        "protect.errors",
        "protect.options",
        "protect.settings",
        "protect.authzen.metadata",
        "protect.service",
        "protect.proxy.settings",
    ),
    "protect.serving": ("protect.errors", "protect.options", "protect.watching"),
    "protect.settings": (
        "protect.options",
        "protect.errors",
        "protect.values",
        "protect.decisions",
        "protect.enforcement",
        "protect.identity.algorithms",
        "protect.identity.claims",
    ),
    # An operator's pipeline file, as text.
    "protect.paste_ini": ("protect.errors", "protect.settings"),
    # Connections to a server, for the proxy and for what runs inside other people's services.
    "protect.connections": ("protect.errors",),
    # The check of oslo.policy: inside other people's services, so next to nothing comes with it.
    "protect.oslo_policy": ("protect.errors", "protect.connections", "protect.glance.targets"),
    # An image API over HTTP, as an application that the filter can stand in front of.
    "protect.proxy": (
        "protect.errors",
        "protect.spelling",
        "protect.options",
        "protect.connections",
        "protect.glance.documents",
        "protect.upstream.bodies",
        "protect.settings",
    ),
    "protect.proxy.factory": ("protect.errors", "protect.connections", "protect.proxy", "protect.factories"),
    # From one language of policies into another, with the proof.
    "protect.convert": (
        "protect.errors",
        "protect.values",
        "protect.policy",
        "protect.protections",
        "protect.analysis",
        "protect.showing",
        "protect.polar.tokens",
    ),
    # A decision log against a policy: pure, lines in and answers out.
    "protect.replay": (
        "protect.errors",
        "protect.values",
        "protect.policy",
        "protect.analysis",
        "protect.glance.attributes",
    ),
    # What editors ask.
    "protect.lsp": (
        "protect.errors",
        "protect.policy",
        "protect.polar.syntax",
        "protect.lint",
        "protect.convert.glance_targets",
    ),
    # The top: puts everything together.
    "protect.__main__": ("protect.cli",),
    "protect.factories": ("protect",),
    "protect.service.assembly": ("protect",),
    "protect.cli": ("protect",),
}

# Packages that only the named parts may import. Oso is the compiler; nothing at run time needs it.
RESERVED: dict[str, tuple[str, ...]] = {
    # loading looks only whether Oso is there, to say so when it is not.
    "oso": ("protect.polar", "protect.loading"),
    "polar": ("protect.polar",),
    "webob": ("protect.enforcement", "protect.upstream", "protect.proxy", "protect.factories"),
    "paste": ("protect.factories", "protect.settings"),
    # Only where tokens are verified: nobody else has to load it.
    "jwt": ("protect.identity.jwt",),
    "cryptography": ("protect.identity.keys",),
    # Only for editors and shells.
    "pygls": ("protect.lsp",),
    "lsprotocol": ("protect.lsp",),
    "shtab": ("protect.cli.completion",),
    # The server of one command, and what only the decision endpoint counts with.
    "granian": ("protect.serving",),
    "prometheus_client": ("protect.service.metrics",),
}

OPTIONS = {
    "policy",
    "policy_rules",
    "protection_format",
    "api",
    "identity",
    "mode",
    "reload",
    "image_size_cap",
    "decision_log",
    "decision_log_facts",
    "jwks",
    "jwt_issuer",
    "jwt_audience",
    "jwt_algorithms",
    "jwt_leeway",
    "jwt_claims",
}

# What the proxy takes beside the filter's.
PROXY_OPTIONS = {"upstream", "upstream_timeout", "upstream_ca"}

INI_FILES = sorted((ROOT / "paste").rglob("*.ini"))
FILTER_FILES = [path for path in INI_FILES if path.name not in ("gateway.ini", "proxy.ini", "sidecar.ini")]
MODULES = sorted((ROOT / "protect").rglob("*.py"))


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def layer_of(module: str) -> str:
    return max((prefix for prefix in LAYERS if within(module, prefix)), key=len)


def may_import(module: str, imported: str) -> bool:
    layer = layer_of(module)
    below = layer != "protect" and within(imported, layer)
    return below or any(within(imported, allowed) for allowed in LAYERS[layer])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, at any depth; `from a import b` is `a.b` where that is ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            assert node.module
            for alias in node.names:
                candidate = f"{node.module}.{alias.name}"
                yield candidate if is_ours(candidate) else node.module


def is_ours(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    module = module_name(path)
    wrong = [name for name in imports(path) if within(name, "protect") and not may_import(module, name)]
    assert not wrong, f"{module} may not import {', '.join(wrong)}; the table is LAYERS in {__name__}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_reserved_package_is_imported_only_where_it_belongs(path: Path) -> None:
    module = module_name(path)
    wrong = [
        name
        for name in imports(path)
        for package, users in RESERVED.items()
        if within(name, package) and not any(within(module, user) for user in users)
    ]
    assert not wrong, f"{module} may not import {', '.join(wrong)}; the table is RESERVED in {__name__}"


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        pytest.param("protect.values", "protect.errors", True, id="values import errors"),
        pytest.param("protect.values", "protect.policy", False, id="values do not import the policy"),
        pytest.param("protect.errors", "protect.values", False, id="errors import nothing"),
        pytest.param("protect.glance.routes", "protect.glance.documents", True, id="inside one layer"),
        pytest.param("protect.glance.routes", "protect.policy", False, id="the wire does not know policies"),
        pytest.param("protect.policy.tree", "protect.values", True, id="the policy imports values"),
        pytest.param("protect.policy.tree", "protect.glance", False, id="the policy does not know the wire"),
        pytest.param("protect.enforcement", "protect.decisions", True, id="enforcement knows the interface"),
        pytest.param("protect.enforcement", "protect.policy", False, id="enforcement never meets the policy"),
        pytest.param("protect.brand_new", "protect.values", True, id="a module without a row imports values"),
        pytest.param("protect.brand_new", "protect.policy", False, id="a module without a row has no more"),
    ],
)
def test_the_table_of_layers_means_what_it_says(module: str, imported: str, allowed: bool) -> None:
    assert may_import(module, imported) is allowed


def test_every_row_of_the_tables_names_a_module_that_exists() -> None:
    rows = {*LAYERS, *(user for users in RESERVED.values() for user in users)}
    assert [row for row in sorted(rows) if not is_ours(row)] == []


def test_python_files_start_with_the_same_import() -> None:
    lacking = [
        str(path.relative_to(ROOT))
        for folder in ("protect", "tests", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if has_code(path) and "\nfrom __future__ import annotations\n" not in path.read_text(encoding="utf-8")
    ]
    assert lacking == []


def has_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)


def test_paste_is_pastedeploys() -> None:
    installed = distribution("PasteDeploy").locate_file("paste/deploy/__init__.py")
    assert Path(str(paste.deploy.__file__)).resolve() == Path(str(installed)).resolve()


def test_nothing_of_ours_can_shadow_paste() -> None:
    # A module in paste/ would be imported in place of PasteDeploy's; these names are as dangerous.
    assert sorted((ROOT / "paste").rglob("*.py*")) == []
    assert not (ROOT / "paste.py").exists()
    assert not (ROOT / "protect" / "paste.py").exists()
    assert not (ROOT / "tests" / "paste").exists()


def test_there_are_pipelines() -> None:
    assert [path.name for path in INI_FILES] == [
        "demo.ini",
        "gateway.ini",
        "glance-api-paste-pipelines.ini",
        "glance-api-paste.ini",
        "proxy.ini",
        "sidecar.ini",
    ]


@pytest.mark.parametrize("path", FILTER_FILES, ids=lambda path: path.name)
def test_pastedeploy_reads_a_pipeline(path: Path) -> None:
    sections = ConfigLoader(str(path)).parser.sections()
    assert "filter:protect" in sections
    assert len(sections) == len(set(sections))


@pytest.mark.parametrize("path", INI_FILES, ids=lambda path: path.name)
def test_a_pipeline_names_only_what_exists(path: Path) -> None:
    ini = parsed(path)
    named = {section.partition(":")[2] for section in ini.sections()}
    for pipeline in pipelines(ini):
        assert set(pipeline) <= named


@pytest.mark.parametrize("path", FILTER_FILES, ids=lambda path: path.name)
def test_our_section_has_only_known_options(path: Path) -> None:
    ini = parsed(path)
    assert not ini.defaults()
    section = dict(ini["filter:protect"])
    assert section.pop("paste.filter_factory") == "protect.factories:filter_factory"
    assert section.keys() <= OPTIONS
    # A commented line is there to be uncommented.
    suggested = re.findall(r"^#(\w+) *=", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(suggested) <= OPTIONS


def test_the_proxys_section_has_only_known_options() -> None:
    path = ROOT / "paste" / "proxy.ini"
    ini = parsed(path)
    assert not ini.defaults()
    section = dict(ini["app:protect"])
    assert section.pop("paste.app_factory") == "protect.proxy.factory:app_factory"
    suggested = re.findall(r"^#(\w+) *=", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert {*section, *suggested} <= OPTIONS | PROXY_OPTIONS
    assert {*section, *suggested} >= PROXY_OPTIONS


@pytest.mark.parametrize("name", ["gateway.ini", "sidecar.ini"])
def test_the_endpoints_section_has_only_known_options(name: str) -> None:
    path = ROOT / "paste" / name
    ini = parsed(path)
    assert not ini.defaults()
    section = dict(ini["app:decision"])
    assert section.pop("use") == "egg:protect#decision"
    suggested = re.findall(r"^#(\w+) *=", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert {*section, *suggested} <= set(ENDPOINT_OPTIONS)
    # Who a gateway's users are must be found out before it is decided on them: nobody else passes on who they are.
    assert pipelines(ini) == [["authtoken", "decision"] if name == "gateway.ini" else ["decision"]]
    if name == "gateway.ini":
        assert ini["filter:authtoken"]["delay_auth_decision"] == "true"
        assert {"upstream", "tokens"} <= section.keys()


@pytest.mark.parametrize("path", [*FILTER_FILES, ROOT / "paste" / "proxy.ini"], ids=lambda path: path.name)
def test_we_stand_behind_identity_and_before_everything_that_answers(path: Path) -> None:
    for pipeline in pipelines(parsed(path)):
        if "unauthenticated-context" in pipeline:
            assert "protect" not in pipeline
            continue
        place = pipeline.index("protect")
        assert pipeline[place - 1] in ("authtoken", "demo_identity")
        assert not {"cache", "cachemanage", "context"} & set(pipeline[:place])


def parsed(path: Path) -> configparser.ConfigParser:
    # PasteDeploy's own separators and case: `/: api` and option names as written.
    ini = configparser.ConfigParser(interpolation=None)
    ini.optionxform = str  # type: ignore[method-assign,assignment]
    ini.read_string(path.read_text(encoding="utf-8"), str(path))
    return ini


def pipelines(ini: configparser.ConfigParser) -> list[list[str]]:
    sections = [section for section in ini.sections() if section.startswith("pipeline:")]
    found = [ini[section]["pipeline"].split() for section in sections]
    if ini.has_section("composite:api"):
        section = dict(ini["composite:api"])
        section.pop("paste.composite_factory")
        found += [line.split() for line in section.values()]
    assert found
    return found


def test_the_wheel_holds_the_rules_and_the_pipelines(tmp_path: Path) -> None:
    built = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert "main = protect.factories:filter_factory" in wheel.read(entry_points).decode()
    rules = {str(path.relative_to(ROOT)) for path in (ROOT / "rules").rglob("*.polar")}
    assert rules
    assert {f"protect/{rule}" for rule in rules} <= names
    assert {name.rpartition("/")[2] for name in names if "/share/protect/paste/" in name} == {
        path.name for path in INI_FILES
    }
    # Anything else at the top would be installed beside other people's packages.
    assert {name.split("/")[0] for name in names if ".data/" not in name and ".dist-info/" not in name} == {"protect"}


def test_the_interpreter_is_one_that_we_support() -> None:
    assert sys.version_info[:2] in ((3, 11), (3, 12))
