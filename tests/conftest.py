"""What holds for every test: a loop of its own for coroutines, no network but the loopback, no keys.

It knows nothing of tidyllm's parts; doubles of those live in `tidyllm.testing`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import settings

# Else a folder of hypothesis' own data appears wherever the tests were started.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "tidyllm-hypothesis"))

# A developer searches with new examples at each run, CI runs the same ones every time. No deadline for one
# example: on a busy machine it would measure the neighbours.
settings.register_profile("dev", deadline=None, database=None)
settings.register_profile("ci", deadline=None, database=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")

# Whatever a developer's shell says of providers, proxies and ourselves would change what tests see.
_OF_PROVIDERS = ("_API_KEY", "_AUTH_TOKEN", "_BASE_URL", "_PROXY", "_proxy")
_OF_OURS = ("TIDYLLM_", "OTEL_", "OLLAMA_")
_KEPT = "TIDYLLM_TEST_"  # what a developer says to the tests themselves
for _name in [name for name in os.environ if name.endswith(_OF_PROVIDERS) or name.startswith(_OF_OURS)]:
    if not _name.startswith(_KEPT):
        del os.environ[_name]


# In a job that a shell runs in the background SIGINT is ignored, and whatever a test starts would inherit that. A
# handler of ours is not inherited: the programs start with the default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _only_loopback(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: a connection that leaves this machine is a bug of the test, not an OSError to handle."""
    if event != "socket.connect" or not isinstance(args[1], tuple):
        return  # another event, or a Unix socket's path
    host = str(cast("tuple[object, ...]", args[1])[0])
    if host not in {"localhost", "::1", "0.0.0.0", "::", ""} and not host.startswith(("127.", "::ffff:127.")):
        raise RuntimeError(f"a test tried to connect to {host!r}; tests talk to the loopback only")


sys.addaudithook(_only_loopback)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def test_...` on a fresh event loop, closed with all its tasks at the end of the test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    test = cast("Callable[..., Coroutine[Any, Any, None]]", pyfuncitem.obj)
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    with asyncio.Runner() as runner:
        runner.run(test(**arguments))
    return True
