"""The policy in force follows its files: whole, checked, and never half."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protect import Image, PolicyError, Query, Subject
from protect.reload import Reloader

OPEN = 'allow(_s: Subject, "get_image", _i: Image);\n'
CLOSED = 'allow(s: Subject, "get_image", _i: Image) if s.has_role("admin");\n'
QUERY = Query(Subject("u"), "get_image", Image("i"))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowed(reloader: Reloader) -> bool:
    return reloader.policy.decide(QUERY).allowed


def looks(reloader: Reloader) -> bool:
    """Look twice: the second look settles what the first one saw."""
    reloader.look()
    return reloader.look()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.polar"
    path.write_text(OPEN)
    return path


def test_a_change_is_in_force_after_it_was_seen_twice_alike(file: Path) -> None:
    clock = Clock()
    reloader = Reloader([str(file)], timer=clock)
    before = reloader.policy.revision
    file.write_text(CLOSED)
    clock.now += 5
    assert not reloader.look()
    assert allowed(reloader)
    assert reloader.look()
    assert not allowed(reloader)
    assert reloader.policy.revision != before
    assert reloader.loaded == 1005.0


def test_a_file_being_written_is_not_taken_for_the_whole(file: Path) -> None:
    file.write_text(OPEN + 'forbid(_s: Subject, "get_image", _i: Image);\n')
    reloader = Reloader([str(file)])
    file.write_text(OPEN)  # as far as the writer has come
    reloader.look()
    file.write_text(OPEN + 'forbid(_s: Subject, "get_image", _i: Image); # better\n')
    reloader.look()
    assert not allowed(reloader)
    reloader.look()
    assert not allowed(reloader)


def test_no_change_is_no_reload(file: Path) -> None:
    reloader = Reloader([str(file)])
    policy = reloader.policy
    os.utime(file)
    assert not looks(reloader)
    assert reloader.policy is policy


def test_a_broken_policy_leaves_the_last_good_one_and_says_so(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    reloader = Reloader([str(file)], timer=clock)
    good = reloader.policy
    file.write_text("allow(")
    clock.now += 5
    assert not looks(reloader)
    assert reloader.policy is good
    assert reloader.trouble is not None
    assert (f"{file}:1:7:" in reloader.trouble.message, reloader.trouble.since) == (True, 1005.0)
    assert reloader.failures == 1
    assert f"revision {good.revision} stays in force" in caplog.text

    clock.now += 5
    looks(reloader)
    assert (reloader.failures, reloader.trouble.since) == (1, 1005.0)

    file.write_text(CLOSED)
    assert looks(reloader)
    assert reloader.trouble is None


def test_going_back_to_the_good_file_ends_the_trouble(file: Path) -> None:
    reloader = Reloader([str(file)])
    file.write_text("allow(")
    looks(reloader)
    file.write_text(OPEN)
    assert not looks(reloader)
    assert reloader.trouble is None


def test_a_file_that_goes_away_leaves_the_last_good_policy(file: Path) -> None:
    file.write_text(CLOSED)
    reloader = Reloader([str(file)])
    file.unlink()
    assert not looks(reloader)
    assert not allowed(reloader)
    assert reloader.trouble is not None
    assert reloader.trouble.message == f"{file}: is gone\n    help: put it back"


def test_a_file_missing_at_start_means_the_shipped_rules_until_it_comes(tmp_path: Path) -> None:
    file = tmp_path / "late.polar"
    reloader = Reloader([str(file)])
    assert not allowed(reloader)
    assert not looks(reloader)
    assert reloader.trouble is not None
    file.write_text(OPEN)
    assert looks(reloader)
    assert allowed(reloader)
    assert reloader.trouble is None


def test_a_broken_policy_at_start_stops_the_service(file: Path) -> None:
    file.write_text("allow(")
    with pytest.raises(PolicyError):
        Reloader([str(file)])


def test_the_symlink_swap_of_a_mounted_configmap(tmp_path: Path) -> None:
    """``..data`` points to a directory with a time in its name, and is replaced by a rename."""
    for name, text in (("..2026_01", OPEN), ("..2026_02", CLOSED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.polar").write_text(text)
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "p.polar").symlink_to("..data/p.polar")
    reloader = Reloader([str(tmp_path)])
    assert allowed(reloader)
    (tmp_path / "..data_tmp").symlink_to("..2026_02")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert looks(reloader)
    assert not allowed(reloader)


def test_a_file_added_to_a_directory_is_seen(file: Path) -> None:
    reloader = Reloader([str(file.parent)])
    (file.parent / "z.polar").write_text('forbid(_s: Subject, "get_image", _i: Image);\n')
    assert looks(reloader)
    assert not allowed(reloader)


@pytest.fixture
def watched(file: Path) -> Iterator[Reloader]:
    reloader = Reloader([str(file)], 0.01)
    reloader.start()
    yield reloader
    reloader.stop()


def wait_until(condition: threading.Event) -> None:
    assert condition.wait(30)


def test_the_watch_runs_in_a_thread_of_its_own(watched: Reloader, file: Path) -> None:
    changed = threading.Event()

    def watch() -> None:
        while allowed(watched):
            pass
        changed.set()

    threading.Thread(target=watch, daemon=True).start()
    file.write_text(CLOSED)
    wait_until(changed)


FORKING = """
import os, sys, time
from protect import Image, Query, Subject
from protect.reload import Reloader

file = sys.argv[1]
reloader = Reloader([file], 0.01)
reloader.start()
child = os.fork()
if child:
    with open(file, "w") as stream:
        stream.write(sys.argv[2])
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
deadline = time.monotonic() + 30
query = Query(Subject("u"), "get_image", Image("i"))
while reloader.policy.decide(query).allowed and time.monotonic() < deadline:
    time.sleep(0.01)
os._exit(0 if time.monotonic() < deadline else 1)
"""


def test_the_watch_goes_on_in_a_forked_worker(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORKING, str(file), CLOSED], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_no_request_sees_half_of_two_policies(file: Path) -> None:
    """Two actions that each policy answers alike: whoever holds one policy never sees one of each."""
    both = [OPEN + 'allow(_s: Subject, "download_image", _i: Image);\n', 'allow(_s: Subject, "none", _i: Image);\n']
    file.write_text(both[0])
    reloader = Reloader([str(file)])
    stop = threading.Event()
    halves = []

    def ask() -> None:
        while not stop.is_set():
            policy = reloader.policy
            answers = {
                policy.decide(QUERY._replace(action=action)).allowed for action in ("get_image", "download_image")
            }
            if len(answers) != 1:
                halves.append(answers)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(8):
        file.write_text(both[turn % 2] + f"# {turn}\n")
        assert looks(reloader)
    stop.set()
    for thread in threads:
        thread.join()
    assert halves == []
