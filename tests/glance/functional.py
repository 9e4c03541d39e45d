"""Glance's own functional tests, with and without the filter in their pipelines: do the same ones pass?

    python -m tests.glance.functional [--module NAME]... [--policy PATH]... [--json FILE]

Wants a Glance environment (`make glance-env`, or PROTECT_GLANCE_ENV) with Glance's test requirements; `make
glance-functional` installs them. The tests are those in the installed package. They write a pipeline file each and
load it in their own process; there the word `protect` is put in front of `context`, so behind whatever authenticates.
Most of them send the headers of keystonemiddleware themselves, but not all that it would send: those are added.

Some tests change Glance's own policy while it runs. Those that fail for that with the shipped rules are named in TWINS,
and run a third time with rules that say the same.

Exit status: 0 the same tests pass, 1 there is a difference, 2 nothing could be run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.glance.identity_filter import VERIFIED
from tests.glance.server import PYTHON, ROOT, environment

PACKAGE = "glance.tests.functional"
#: What these test is not reached through the pipeline: the command line, the database, the log.
ELSEWHERE = {"test_glance_manage", "test_logging", "test_scrubber", "test_sqlite", "test_staging_cleanup"}
SECONDS = 3000
PASSED, SKIPPED = "passed", "skipped"


@dataclass(frozen=True)
class Twin:
    """Tests that change Glance's own policy in its process, of which the filter in front cannot know.

    ``rules`` say in Polar what that policy says. They are put in front of the shipped ones, and with them each of these
    tests must end as it does without the filter.
    """

    pattern: str
    why: str
    rules: str


TWINS = (
    Twin(
        r"TestImagesPolicy\.test_image_(deactivate|reactivate|stage|tag_delete|tag_update)$",
        "shows images to everybody, and members to nobody: nothing tells that an image is shared with the tenant",
        'allow(_subject: Subject, "get_image", _image: Image);',
    ),
    Twin(
        r"test_download_image_not_allowed_using_restricted_policy$",
        "shows images to everybody, so also to a role that by our rules is no reader",
        'allow(_subject: Subject, "get_image", _image: Image);',
    ),
    Twin(
        r"test_image_direct_url_visible$",
        "shows locations to everybody",
        'allow(_subject: Subject, "get_image_location", _image: Image);',
    ),
    Twin(
        r"test_owning_tenant_can_publicize_image$",
        "lets owners make images public",
        'allow(subject: Subject, "publicize_image", image: Image) if owns(subject, image);',
    ),
)

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


def run_here(names: Sequence[str], options: Mapping[str, str] | None) -> dict[str, str]:
    """Run modules or single tests in this process, with the filter in their pipelines unless ``options`` are None."""
    from glance.common import config  # type: ignore[import-not-found,unused-ignore]
    from oslo_db.options import set_defaults  # type: ignore[import-not-found,unused-ignore]

    # The tests set the database's options, which only a server or the whole suite has registered.
    set_defaults(config.CONF)
    if options is not None:
        filter_every_pipeline(options)
    recorder = Recorder()
    unittest.defaultTestLoader.loadTestsFromNames(names).run(recorder)
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
    """Return a filter that completes the tests' headers to what Keystone would send, and leaves its mark.

    keystonemiddleware gives a tenant two names, and a token for a role has those that it implies as well.
    """

    def wrap(app: Any) -> Any:
        def completed(environ: dict[str, Any], start_response: Any) -> Any:
            if "HTTP_X_TENANT_ID" in environ:
                environ.setdefault("HTTP_X_PROJECT_ID", environ["HTTP_X_TENANT_ID"])
            roles = environ.get("HTTP_X_ROLES")
            if roles in IMPLIED:
                environ["HTTP_X_ROLES"] = IMPLIED[roles]
            environ[VERIFIED] = object()
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


def run(names: Sequence[str], options: Mapping[str, str] | None, directory: Path) -> dict[str, str]:
    """Run modules or single tests in a process of their own; returns how each test ended."""
    process = subprocess.run(
        [PYTHON, "-m", "tests.glance.functional", "--in-glance", json.dumps([names, options])],
        env=child_environment(),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    try:
        ended: dict[str, str] = json.loads(process.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        failure = process.stderr[-3000:] or f"ended with {process.returncode}"
        return {f"{name}.(as a whole)": failure for name in names}
    return ended


def run_all(names: Sequence[str], options: Mapping[str, str] | None) -> dict[str, str]:
    """Run the modules, two at a time."""
    directory = site_packages()
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda name: run([name], options, directory), names)
        return {test: end for ended in results for test, end in ended.items()}


def run_twins(tests: Iterable[str], options: Mapping[str, str]) -> dict[str, str]:
    """Run those of the tests that are named in TWINS, each with the rules that say what its own policy says."""
    ended: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        for number, each in enumerate(TWINS):
            file = Path(directory, f"{number}.polar")
            file.write_text(each.rules + "\n")
            # In front: what is answered first need not be asked of the API, which would refuse to say.
            policy = f"{file} {options.get('policy', ROOT / 'rules')}"
            chosen = [test for test in tests if twin(test) is each]
            if chosen:
                ended |= run(chosen, {**options, "policy": policy}, site_packages())
    return ended


def passed(ended: Mapping[str, str]) -> set[str]:
    return {test for test, end in ended.items() if end == PASSED}


def twin(test: str) -> Twin | None:
    return next((each for each in TWINS if re.search(each.pattern, test)), None)


def report(alone: Mapping[str, str], filtered: Mapping[str, str], twins: Mapping[str, str]) -> bool:
    """Print the comparison; returns whether the same tests pass, those of ``twins`` with their own rules."""
    for name, ended in (("without the filter", alone), ("with the shipped rules", filtered), ("with its own", twins)):
        skipped = sum(end == SKIPPED for end in ended.values())
        failed = len(ended) - len(passed(ended)) - skipped
        print(f"{name:<24} {len(passed(ended)):>4} passed {failed:>4} failed {skipped:>4} skipped")
    same = passed(alone) & (passed(filtered) | passed(twins))
    print(f"{'the same':<24} {len(same):>4} passed, {len(same - passed(filtered))} of them with rules of their own")
    print_list(
        "pass with rules that say what the test's own policy says: the policy",
        {test: each.why for test in sorted(passed(twins)) if (each := twin(test))},
    )
    lost, won = sorted(passed(alone) - same), sorted(passed(filtered) - passed(alone))
    print_list("PASS ONLY WITHOUT the filter", {t: last_line({**filtered, **twins}.get(t, "missing")) for t in lost})
    print_list("PASS ONLY WITH the filter", dict.fromkeys(won, ""))
    return not lost and not won


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
    twins = run_twins(sorted(passed(alone) - passed(filtered)), options)
    if chosen.json:
        chosen.json.write_text(json.dumps({"without": alone, "with": filtered, "twins": twins}, indent=1))
    if not passed(alone):
        print(f"none passes without the filter:\n{next(iter(alone.values()), 'no tests')}", file=sys.stderr)
        return 2
    return 0 if report(alone, filtered, twins) else 1


def select(names: Iterable[str], wanted: Sequence[str] | None) -> list[str]:
    return [name for name in names if not wanted or any(part in name for part in wanted)]


if __name__ == "__main__":
    sys.exit(main())
