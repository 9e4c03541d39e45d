"""A real Glance for every test that asks for one; without a Glance environment these tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.glance.server import PYTHON, Glance, make_database, running_glance


class StartGlance(Protocol):
    def __call__(
        self, *, protect: Mapping[str, str] | None = None, native: str = "", options: str = "", keystone: str = ""
    ) -> Glance: ...


@pytest.fixture(scope="session")
def glance_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PYTHON.exists():
        pytest.skip("no Glance environment: set PROTECT_GLANCE_ENV")
    return make_database(tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
def start_glance(glance_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGlance]:
    """Start as many as a module needs; all of them stop at the end of the module."""
    with ExitStack() as stack:

        def start(
            *, protect: Mapping[str, str] | None = None, native: str = "", options: str = "", keystone: str = ""
        ) -> Glance:
            directory = tmp_path_factory.mktemp("glance")
            server = running_glance(
                directory, glance_database, protect=protect, native=native, options=options, keystone=keystone
            )
            return stack.enter_context(server)

        yield start
