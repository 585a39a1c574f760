"""Time that jumps, for every test of this folder that asks for it, and loops that complain of nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resilience.doubles import Jumps


@pytest.fixture
def time() -> Iterator[Jumps]:
    with Jumps() as jumps:
        yield jumps


@pytest.fixture(autouse=True)
def quiet_loops(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What fails in a callback of the loop fails no test by itself: it is only logged."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []
