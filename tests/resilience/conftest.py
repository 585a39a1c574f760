"""Time that jumps, for every test of this folder that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resilience.doubles import Jumps


@pytest.fixture
def time() -> Iterator[Jumps]:
    with Jumps() as jumps:
        yield jumps
