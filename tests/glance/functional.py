"""Glance's own functional tests, with and without the filter in their pipelines: do the same ones pass?

    python -m tests.glance.functional [--module NAME]... [--policy PATH]... [--json FILE]

Wants a Glance environment (`make glance-env`, or PROTECT_GLANCE_ENV) with Glance's test requirements; `make
glance-functional` installs them. The tests are those in the installed package. They write a pipeline file each and
load it in their own process; there the word `protect` is put in front of `context`, so behind whatever authenticates.
Most of them send the headers of keystonemiddleware themselves, but not all that it would send: those are added.

Exit status: 0 the differences are those that are explained in EXPLAINED, 1 there are others, 2 nothing could be run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.glance.server import PYTHON, ROOT, environment

PACKAGE = "glance.tests.functional"
#: What these test is not reached through the pipeline: the command line, the database, the log.
ELSEWHERE = {"test_glance_manage", "test_logging", "test_scrubber", "test_sqlite", "test_staging_cleanup"}
SECONDS = 3000
PASSED, SKIPPED = "passed", "skipped"

#: Differences that are meant, by a pattern of the test's name: why it passes without the filter and not with it.
EXPLAINED = {
    r"test_gzip_requests$": "the test's gzip filter stands behind ours, which edits answers and so asks for plain ones",
    r"test_healthcheck$": "the test's /healthcheck stands behind ours, in Glance's own file it stands before",
    r"test_images_container$": "a filtered list has no link to a next page that is empty",
    r"test_image_create_by_another$": "refused as well, in other words",
    r"test_image_visibility_to_different_users$": "lists for a subject without a tenant, who owns nothing by our rules",
    r"test_image_direct_url_visible$": "allows `get_image_location` to everybody in Glance; ours still refuses",
    r"test_owning_tenant_can_publicize_image$": "allows `publicize_image` to owners in Glance; ours still refuses",
    r"test_download_image_not_allowed_using_restricted_policy$": "a role that may not see the image by our rules: 404",
    r"test_list_cached_nodes_default_policy$": "takes `get_image` from everybody in Glance: 404 instead of 403",
    r"TestImagesPolicy\.test_image_(deactivate|reactivate|stage|tag_delete|tag_update)$": (
        "takes `get_members` from everybody in Glance's policy, so nothing tells that a tenant may see the image: 404 "
        "instead of 403"
    ),
}

IMPLIED = {"admin": "admin,member,reader", "member": "member,reader"}

SECTIONS = """
[filter:likekeystone]
paste.filter_factory = tests.glance.functional:like_keystone
[filter:protect]
paste.filter_factory = protect.factories:filter_factory
"""

MODULES = """
import pkgutil, importlib
package = importlib.import_module("glance.tests.functional")
for folder in ("", ".v2"):
    found = importlib.import_module(package.__name__ + folder)
    print(*(each.name for each in pkgutil.iter_modules(found.__path__, found.__name__ + ".")), sep="\\n")
"""


# In Glance's process


class Recorder(unittest.TestResult):
    """Writes down how each test ended, and for a failure its last lines."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.ended.setdefault(test.id(), PASSED)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.ended[test.id()] = SKIPPED

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.ended[test.id()] = str(self.failures[-1][1])[-3000:]

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.ended[test.id()] = str(self.errors[-1][1])[-3000:]


def run_here(module: str, options: Mapping[str, str] | None) -> dict[str, str]:
    """Run a module's tests in this process, with the filter in their pipelines unless ``options`` are None."""
    from glance.common import config  # type: ignore[import-not-found,unused-ignore]
    from oslo_db.options import set_defaults  # type: ignore[import-not-found,unused-ignore]

    # The tests set the database's options, which only a server or the whole suite has registered.
    set_defaults(config.CONF)
    if options is not None:
        filter_every_pipeline(options)
    recorder = Recorder()
    unittest.defaultTestLoader.loadTestsFromName(module).run(recorder)
    return recorder.ended


def filter_every_pipeline(options: Mapping[str, str]) -> None:
    """Put the filter into every pipeline file that Glance loads from now on."""
    from glance.common import config  # type: ignore[import-not-found,unused-ignore]
    from webob.dec import wsgify

    load = config.load_paste_app

    def load_with_filter(app_name: str, flavor: str | None = None, conf_file: str | None = None) -> Any:
        assert conf_file, "the functional tests name their file"
        file = Path(conf_file)
        file.write_text(with_filter(file.read_text(), options))
        app = load(app_name, flavor=flavor, conf_file=conf_file)
        # The tests call what they have loaded with a request, which only Glance's own middleware understands.
        return wsgify(lambda request: request.get_response(app))

    config.load_paste_app = load_with_filter


def with_filter(text: str, options: Mapping[str, str]) -> str:
    """Return a pipeline file with the filter in front of `context`; once, however often it is asked for."""
    if "[filter:protect]" in text:
        return text
    place, ours = r"^(pipeline = (?:.* )?)context\b", r"\1likekeystone protect context"
    filtered, count = re.subn(place, ours, text, flags=re.MULTILINE)
    assert count, "a pipeline has `context`"
    return filtered.rstrip() + SECTIONS + "".join(f"{name} = {value}\n" for name, value in options.items())


def like_keystone(_global_conf: Mapping[str, str]) -> Callable[[Any], Any]:
    """Return a filter that completes the tests' headers to what Keystone would send.

    keystonemiddleware gives a tenant two names, and a token for a role has those that it implies as well.
    """

    def wrap(app: Any) -> Any:
        def completed(environ: dict[str, Any], start_response: Any) -> Any:
            if "HTTP_X_TENANT_ID" in environ:
                environ.setdefault("HTTP_X_PROJECT_ID", environ["HTTP_X_TENANT_ID"])
            roles = environ.get("HTTP_X_ROLES")
            if roles in IMPLIED:
                environ["HTTP_X_ROLES"] = IMPLIED[roles]
            return app(environ, start_response)

        return completed

    return wrap


# In ours


def modules() -> list[str]:
    """Return the names of the modules whose tests go through a pipeline."""
    listed = subprocess.run(
        [PYTHON, "-c", MODULES], env=child_environment(), cwd=site_packages(), capture_output=True, text=True
    )
    if listed.returncode:
        raise SystemExit(f"cannot find Glance's functional tests with {PYTHON}:\n{listed.stderr}")
    names = [name for name in listed.stdout.split() if name.rpartition(".")[2].startswith("test_")]
    return [name for name in names if name.rpartition(".")[2] not in ELSEWHERE]


def site_packages() -> Path:
    # The tests read their own data by a path relative to this.
    found = subprocess.run(
        [PYTHON, "-c", "import glance, pathlib; print(pathlib.Path(glance.__file__).parents[1])"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(found.stdout.strip())


def child_environment() -> dict[str, str]:
    # Only the checkout: tests/glance on the path would answer to `import glance`.
    return environment(ROOT) | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def run_module(module: str, options: Mapping[str, str] | None, directory: Path) -> dict[str, str]:
    """Run a module's tests in a process of their own; returns how each ended."""
    run = subprocess.run(
        [PYTHON, "-m", "tests.glance.functional", "--in-glance", json.dumps([module, options])],
        env=child_environment(),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    try:
        ended: dict[str, str] = json.loads(run.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {f"{module}.(the module)": run.stderr[-3000:] or f"ended with {run.returncode}"}
    return ended


def run_all(names: Sequence[str], options: Mapping[str, str] | None) -> dict[str, str]:
    """Run the modules, two at a time."""
    directory = site_packages()
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda name: run_module(name, options, directory), names)
        return {test: end for ended in results for test, end in ended.items()}


def passed(ended: Mapping[str, str]) -> set[str]:
    return {test for test, end in ended.items() if end == PASSED}


def explained(test: str) -> str | None:
    return next((why for pattern, why in EXPLAINED.items() if re.search(pattern, test)), None)


def report(alone: Mapping[str, str], filtered: Mapping[str, str]) -> bool:
    """Print the comparison; returns whether every difference is explained."""
    lost, won = sorted(passed(alone) - passed(filtered)), sorted(passed(filtered) - passed(alone))
    for name, ended in (("without the filter", alone), ("with the filter", filtered)):
        skipped = sum(end == SKIPPED for end in ended.values())
        failed = len(ended) - len(passed(ended)) - skipped
        print(f"{name:<20} {len(passed(ended)):>4} passed {failed:>4} failed {skipped:>4} skipped")
    print(f"{'the same':<20} {len(passed(alone) & passed(filtered)):>4} passed")
    print_list("pass only without the filter, and are meant to", {t: explained(t) or "" for t in lost if explained(t)})
    print_list(
        "PASS ONLY WITHOUT the filter", {t: last_line(filtered.get(t, "missing")) for t in lost if not explained(t)}
    )
    print_list("pass only with the filter", dict.fromkeys(won, ""))
    return not [test for test in lost if not explained(test)]


def print_list(title: str, tests: Mapping[str, str]) -> None:
    if tests:
        print(f"\n{len(tests)} {title}:")
    for test, why in tests.items():
        print(f"  {test.removeprefix(PACKAGE + '.')}" + (f"\n      {why}" if why else ""))


def last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", action="append", metavar="NAME", help="only modules whose name contains this")
    parser.add_argument("--policy", action="append", metavar="PATH", help="instead of the shipped rules")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write how every test ended")
    parser.add_argument("--in-glance", help=argparse.SUPPRESS)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    chosen = arguments(given)
    if chosen.in_glance:
        # Whatever the tests print, the last line is the result.
        ended = run_here(*json.loads(chosen.in_glance))
        print("\n" + json.dumps(ended), flush=True)
        # Threads that a test has left behind must not keep the process.
        os._exit(0)
    if not PYTHON.exists():
        print("no Glance environment: `make glance-env`, or set PROTECT_GLANCE_ENV", file=sys.stderr)
        return 2
    names = select(modules(), chosen.module)
    # Each test loads a policy: nobody changes it meanwhile.
    options = {"reload": "0", "decision_log": "none"} | ({"policy": " ".join(chosen.policy)} if chosen.policy else {})
    alone, filtered = run_all(names, None), run_all(names, options)
    if chosen.json:
        chosen.json.write_text(json.dumps({"without": alone, "with": filtered}, indent=1))
    if not passed(alone):
        print(f"none passes without the filter:\n{next(iter(alone.values()), 'no tests')}", file=sys.stderr)
        return 2
    return 0 if report(alone, filtered) else 1


def select(names: Iterable[str], wanted: Sequence[str] | None) -> list[str]:
    return [name for name in names if not wanted or any(part in name for part in wanted)]


if __name__ == "__main__":
    sys.exit(main())
