"""Run every benchmark of this folder."""

from __future__ import annotations

from tests.bench import decide, list_images, load

for benchmark in (decide, load, list_images):
    benchmark.main()
