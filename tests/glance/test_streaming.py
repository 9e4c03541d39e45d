"""Image data pass through the filter and a real Glance without being held: memory stays flat."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.glance.conftest import StartGlance
from tests.glance.server import Glance

OWNER = "olivia:t1:member,reader"

MIB = 1 << 20
WARM_UP = 64 * MIB
FLAT = 16 * MIB


@pytest.fixture(scope="module")
def glance(start_glance: StartGlance) -> Glance:
    return start_glance(protect={})


def pieces(size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes, one MiB at a time, no two alike."""
    rest = bytes(range(256)) * (MIB // 256 - 1) + bytes(256 - 8)
    return (struct.pack(">Q", number) + rest for number in range(size // MIB))


@dataclass
class Checksum:
    """How many bytes have passed, and their CRC-32."""

    size: int = 0
    crc: int = 0

    def over(self, data: Iterable[bytes]) -> Iterator[bytes]:
        for piece in data:
            self.size += len(piece)
            self.crc = zlib.crc32(piece, self.crc)
            yield piece


def there_and_back(glance: Glance, image: str, size: int, chunked: bool) -> None:
    """Upload ``size`` bytes and download them again."""
    sent, received = Checksum(), Checksum()
    glance.upload(OWNER, image, sent.over(pieces(size)), None if chunked else size)
    deque(received.over(glance.download(OWNER, image)), maxlen=0)

    assert sent == received
    assert sent.size == size


def memory(pid: int, field: str) -> int:
    """Return a field of the process's status in bytes: VmRSS is what it holds now, VmHWM the most it held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:"))


def forget_peak(pid: int) -> None:
    """Let the kernel count the peak (VmHWM) anew from what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def new_image(glance: Glance) -> str:
    return glance.create(OWNER, disk_format="raw", container_format="bare")


def stored(glance: Glance) -> list[Path]:
    return [path for path in (glance.directory / "images").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("size", "chunked"),
    [
        pytest.param(2048 * MIB, False, id="two gigabytes with a length"),
        pytest.param(512 * MIB, True, id="half a gigabyte in chunks"),
    ],
)
def test_memory_stays_flat(glance: Glance, size: int, chunked: bool) -> None:
    (worker,) = glance.worker_pids()
    warm, image = new_image(glance), new_image(glance)
    there_and_back(glance, warm, WARM_UP, chunked)
    forget_peak(worker)
    before = memory(worker, "VmRSS")

    try:
        there_and_back(glance, image, size, chunked)
        peak = memory(worker, "VmHWM")
    finally:
        for each in (warm, image):
            assert glance.call("DELETE", f"/v2/images/{each}", OWNER).status == 204

    assert glance.worker_pids() == [worker]
    assert peak - before < FLAT
    assert stored(glance) == []


def test_the_measure_sees_what_was_held_for_a_moment() -> None:
    me = os.getpid()
    forget_peak(me)
    before = memory(me, "VmRSS")
    assert memory(me, "VmHWM") - before < FLAT

    assert len(b"x" * (2 * FLAT)) == 2 * FLAT

    assert memory(me, "VmHWM") - before > FLAT


def test_a_refused_upload_stores_nothing(glance: Glance) -> None:
    image = new_image(glance)
    headers = {"Content-Type": "application/octet-stream"}

    reply = glance.call("PUT", f"/v2/images/{image}/file", "rita:t1:reader", b"x" * MIB, headers)

    assert reply.status == 403
    assert stored(glance) == []
    glance.upload(OWNER, image, b"x" * MIB)
    assert [path.stat().st_size for path in stored(glance)] == [MIB]
    assert glance.call("DELETE", f"/v2/images/{image}", OWNER).status == 204
