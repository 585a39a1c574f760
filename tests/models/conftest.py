"""A test that is given a `make` with an event loop of its own runs on that one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from tests.models.transports import Make


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """As the one in tests/conftest.py, which has the other tests."""
    make = pyfuncitem.funcargs.get("make")
    if not isinstance(make, Make) or make.loop is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    test = cast("Callable[..., Coroutine[Any, Any, None]]", pyfuncitem.obj)
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    with asyncio.Runner(loop_factory=make.loop) as runner:
        runner.run(test(**arguments))
    return True
