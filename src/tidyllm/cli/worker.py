"""`tidyllm worker module:flow`: a process that takes runs from the database, and those of dead workers."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidyllm.cli.acting import StoreURL

if TYPE_CHECKING:
    from tidyllm.durable import Flow

__all__ = ["load", "worker"]


def load(name: str) -> Flow[Any, Any]:
    """The flow or step that `module:flow` names.

    :raises ConfigError: there is no such module, or nothing in it that can be run.
    """
    from tidyllm.core import Step
    from tidyllm.durable.flow import flow_of
    from tidyllm.errors import ConfigError, TidyllmError

    home, sign, attribute = name.partition(":")
    if not sign or not home or not attribute:
        raise ConfigError(f"{name!r} is not MODULE:FLOW.", where="worker")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    try:
        found: Any = import_module(home)
        for part in attribute.split("."):
            found = getattr(found, part)
    except TidyllmError:
        raise
    except Exception as error:  # whatever a program does when it is loaded
        known = isinstance(error, ImportError | AttributeError)
        said = str(error) if known else f"{type(error).__name__}: {error}"
        raise ConfigError(f"{name!r} cannot be loaded: {said}.", where="worker") from error
    finally:
        sys.path.pop(0)
    if not isinstance(found, Step):
        raise ConfigError(f"{name!r} is a {type(found).__name__}; expected a flow or a step.", where="worker")
    return flow_of(found)  # pyright: ignore[reportUnknownArgumentType]


def worker(
    flows: Annotated[list[str], typer.Argument(metavar="MODULE:FLOW...", help="What to run.")],
    url: StoreURL = None,
    concurrency: Annotated[int, typer.Option("--concurrency", "-n", min=1, help="Runs at once.")] = 10,
    queues: Annotated[
        list[str] | None, typer.Option("--queue", "-q", metavar="NAME", help="Serve this queue as well.")
    ] = None,
) -> None:
    """Run flows: those that are queued, and those whose worker has died. Ctrl-C or SIGTERM ends it in order."""
    import asyncio
    import signal

    from tidyllm.cli.settings import chosen_store
    from tidyllm.durable import Runtime
    from tidyllm.durable.place import runs_location

    loaded = [load(name) for name in flows]
    at = runs_location(chosen_store(url))

    async def main() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with Runtime(at) as runtime:
            await runtime.serve(loaded, queues=tuple(queues or ()), concurrency=concurrency)
            names = ", ".join(flow.name for flow in loaded)
            sys.stdout.write(f"Serving {names} from {at.name}, {concurrency} at once.\n")
            sys.stdout.flush()
            await ended.wait()

    asyncio.run(main())
