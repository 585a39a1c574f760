"""What a module used: calls, tokens, dollars, seconds. It knows answers, not who gave them.

Meters travel in DSPy's settings, so that its threads count too; a module inside another one counts for both.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from decimal import Decimal

import msgspec

from tidyllm.dspy.foreign import given, within
from tidyllm.models.response import Response

__all__ = ["ModuleMetrics", "metered", "tell"]

_KEY = "tidyllm_meters"
_lock = threading.Lock()


class ModuleMetrics(msgspec.Struct):
    """Sums since the module was made.

    `calls` of the module, `failures` of them, `refused` answers that validation sent back; `model_calls` are answers of
    models, `cached` of them kept ones. `cost_usd` is what the others cost as far as that is known: `unpriced` counts
    those for which it is not. `seconds` are the calls' own, together.
    """

    calls: int = 0
    failures: int = 0
    refused: int = 0
    model_calls: int = 0
    cached: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    seconds: float = 0.0

    def called(self, seconds: float, *, failed: bool) -> None:
        """One call of the module has ended."""
        with _lock:
            self.calls += 1
            self.failures += failed
            self.seconds += seconds

    def sent_back(self) -> None:
        """Validation refused an answer."""
        with _lock:
            self.refused += 1

    def answered(self, response: Response) -> None:
        """A model answered."""
        with _lock:
            self.model_calls += 1
            if response.cached:
                self.cached += 1
                return
            self.input_tokens += response.usage.input_tokens or 0
            self.output_tokens += response.usage.output_tokens or 0
            if response.cost_usd is None:
                self.unpriced += 1
            else:
                self.cost_usd += response.cost_usd


def metered(meter: ModuleMetrics) -> AbstractContextManager[None]:
    """A block whose answers are counted in `meter`, and in those around it."""
    outer: tuple[ModuleMetrics, ...] = given(_KEY) or ()
    return within(**{_KEY: (*outer, meter)})


def tell(response: Response) -> None:
    """Count an answer in the meters of this task or thread."""
    meters: tuple[ModuleMetrics, ...] = given(_KEY) or ()
    for meter in meters:
        meter.answered(response)
