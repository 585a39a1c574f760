"""The scripted model server: a thread with an event loop and a socket. It knows neither wire format."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tidyllm.errors import StepError
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.model_server.asked import Asked
from tidyllm.testing.model_server.connection import Connection
from tidyllm.testing.model_server.dispatch import Dispatch
from tidyllm.testing.model_server.log import RequestLog

__all__ = ["ModelServer"]


class ModelServer:
    """A model with a script behind a real socket, for clients in other processes and in other languages.

    It speaks OpenAI's chat format (`/v1/chat/completions`, `/v1/models`) and Ollama's (`/api/chat`, `/api/tags`,
    `/api/show`), whole and in streams, with tools and usage. What it says comes from `behaviour`, as for `scripted`:
    replies in order, or one function of the `Request`. A function that looks at nothing but the request gives
    a client that was killed and came back the answers it would have had.

    >>> from tidyllm import model
    >>> from tidyllm.testing import ModelServer
    >>> with ModelServer("Paris.") as server:
    ...     model("openai/any", base_url=server.openai_url, api_key="none").run_sync("Capital of France?").text
    'Paris.'

    - `port`: default: a free one. It listens on the loopback only.
    - `models`: what the listings show; every name is answered.
    - `tools`: False plays a model without tools: a request that offers some is refused with status 400, in the words
      of Ollama.
    - `log`: a file that gets each request as a line of JSON before it is answered (`read_log` reads the bodies).

    Leaving the block raises what the behaviour raised, unless the block itself has failed.

    :raises OSError: the port is taken.
    :raises TypeError: a function stands beside other replies.
    """

    def __init__(
        self,
        *behaviour: Reply | str | Callable[[Request], Reply | str],
        port: int = 0,
        models: tuple[str, ...] = ("scripted",),
        tools: bool = True,
        log: Path | None = None,
    ) -> None:
        self._log = RequestLog(log)
        self._dispatch = Dispatch(_function(behaviour), self._log, models, tools=tools)
        self._wanted = port
        self._port: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._failed: BaseException | None = None

    # -- what a test asks

    @property
    def port(self) -> int:
        """The port on 127.0.0.1. :raises StepError: the server has not been started."""
        if self._port is None:
            raise StepError(
                "this server has not been started.", hint="Use it as `with ModelServer(…) as server:`."
            )
        return self._port

    @property
    def url(self) -> str:
        """Where it listens: the base URL for Ollama's clients."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's clients, which ends in `/v1`."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[Asked]:
        """The calls of a model that came, in order; those that were no proper question are not among them."""
        return list(self._log.kept)

    @property
    def faults(self) -> list[Exception]:
        """What the behaviour raised; the client saw status 500."""
        return self._dispatch.faults

    # -- its life

    def start(self) -> Self:
        """Listen. For programs without a `with` block; end it by `stop`."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="model-server", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failed is not None:
            raise self._failed
        return self

    def stop(self) -> None:
        """Hang up on everybody and end. Twice is once."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._stop.set)
            except RuntimeError:
                pass  # it was ending anyway
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self.faults:
            raise self.faults[0]

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._listen(ready))
        except BaseException as error:  # noqa: BLE001 - raised by `start`, in the thread that waits there
            self._failed = error
        finally:
            ready.set()

    async def _listen(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        clients: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            work: Coroutine[Any, Any, None] = self._dispatch.serve(Connection(reader, writer))
            task = asyncio.ensure_future(work)
            clients.add(task)
            task.add_done_callback(clients.discard)

        listening = await asyncio.start_server(connected, "127.0.0.1", self._wanted)
        self._port = listening.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        listening.close()
        for task in list(clients):
            task.cancel()
        if clients:
            await asyncio.wait(list(clients))


def _function(
    given: tuple[Reply | str | Callable[[Request], Reply | str], ...],
) -> Callable[[Request], Reply]:
    functions = [each for each in given if callable(each)]
    if not functions:
        return _InOrder([each for each in given if not callable(each)])
    if len(given) > 1:
        raise TypeError("ModelServer() takes replies, or one function of the request.")
    behaviour = functions[0]
    return lambda request: _reply(behaviour(request))


class _InOrder:
    def __init__(self, replies: Iterable[Reply | str]) -> None:
        self._replies = iter(replies)
        self._given = 0

    def __call__(self, request: Request) -> Reply:
        reply = next(self._replies, None)
        if reply is None:
            raise StepError(
                f"the script has {self._given} replies, and one more call has come.",
                hint="Give more replies, or a function of the request.",
            )
        self._given += 1
        return _reply(reply)


def _reply(given: Reply | str) -> Reply:
    return Reply(text=given) if isinstance(given, str) else given
