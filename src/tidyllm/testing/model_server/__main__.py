"""`python -m tidyllm.testing.model_server BEHAVIOUR`: the scripted model server as a process of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

import msgspec

from tidyllm.errors import TidyllmError
from tidyllm.testing.behaviours import behaviour
from tidyllm.testing.model_server.server import ModelServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. The first line printed is the address; 2 when the behaviour cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tidyllm.testing.model_server", description=__doc__)
    parser.add_argument(
        "behaviour", help="a behaviour's name (looping, prose, …) or module:function that makes one"
    )
    parser.add_argument(
        "--args", default="{}", help="its arguments: a JSON object, or an array for those in order"
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--log", type=Path, help="a file that gets each request as a line of JSON")
    parser.add_argument("--no-tools", action="store_true", help="refuse requests that offer tools")
    given = parser.parse_args(arguments)
    over = threading.Event()

    def ending(number: int, frame: object) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending)
    try:
        chosen = behaviour(given.behaviour, msgspec.json.decode(given.args))
        server = ModelServer(chosen, port=given.port, log=given.log, tools=not given.no_tools).start()
    except (TidyllmError, msgspec.MsgspecError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    over.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
