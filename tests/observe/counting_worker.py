"""A worker process that counts: started by tests/observe/test_workers.py, told what to do line by line.

`count N` counts N attempts and one running request, `page` prints the page, `end` ends. Each answers with `done`.
"""

from __future__ import annotations

import sys
from decimal import Decimal

from tests.observe.events import attempt
from tidyllm.core import BreakerChanged
from tidyllm.observe import Metrics


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    metrics = Metrics()
    say("done\n")
    for line in sys.stdin:
        match line.split():
            case ["count", number]:
                event = attempt(input_tokens=10, cost_usd=Decimal("0.5"))
                for _ in range(int(number)):
                    metrics(event)
                metrics.in_flight(1)
                metrics(BreakerChanged(event.ctx, "b", "open"))
            case ["page"]:
                say(metrics.exposition()[1].decode())
            case _:
                break
        say("done\n")


main()
