from __future__ import annotations

from tidyllm import clock
from tidyllm.core.trace import begun_at, new_trace_id
from tidyllm.testing import FakeClock


def test_a_new_id_tells_when_its_trace_began_and_is_random_behind_it() -> None:
    with FakeClock():
        now = clock.now()
        ids = {new_trace_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(abs(begun_at(one) - now) < 0.001 for one in ids)
    assert len({one & ((1 << 64) - 1) for one in ids}) == 1_000
