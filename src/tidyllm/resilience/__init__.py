"""Steps around steps that make calls reliable. They know errors and time, not models, storage or the network."""

from tidyllm.resilience.breaker import CircuitBreaker
from tidyllm.resilience.breakers import BREAKERS, Breaker, Breakers
from tidyllm.resilience.fallback import Fallback
from tidyllm.resilience.hedge import Hedge
from tidyllm.resilience.limit import Limit
from tidyllm.resilience.limiter import Limiter
from tidyllm.resilience.policy import Errors
from tidyllm.resilience.retry import Retry
from tidyllm.resilience.saga import Done, Saga
from tidyllm.resilience.timeout import Timeout

__all__ = [
    "BREAKERS",
    "Breaker",
    "Breakers",
    "CircuitBreaker",
    "Done",
    "Errors",
    "Fallback",
    "Hedge",
    "Limit",
    "Limiter",
    "Retry",
    "Saga",
    "Timeout",
]
