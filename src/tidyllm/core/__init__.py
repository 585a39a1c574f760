"""Steps and how values flow through them. Nothing here knows of models, storage or the network."""

from tidyllm.core.alarm import Alarm, StreamAlarm
from tidyllm.core.branch import Branch
from tidyllm.core.context import Asker, Budget, Caller, Context, Reservation, RunID
from tidyllm.core.events import (
    AttemptFinished,
    AttemptStarted,
    BreakerChanged,
    CacheLookup,
    CacheSaved,
    CallFinished,
    Event,
    FellBack,
    Hook,
    Progress,
    Retrying,
    install,
)
from tidyllm.core.function import FunctionStep, GeneratorStep, step
from tidyllm.core.parallel import Failed, Ok, Outcome, Parallel
from tidyllm.core.scope import Booking, Bookkeeper, StreamCaller
from tidyllm.core.sequence import Sequence
from tidyllm.core.step import InDoubt, Step, as_step
from tidyllm.core.wrapper import Wrapper

__all__ = [
    "Alarm",
    "Asker",
    "AttemptFinished",
    "AttemptStarted",
    "Booking",
    "Bookkeeper",
    "Branch",
    "BreakerChanged",
    "Budget",
    "CacheLookup",
    "CacheSaved",
    "CallFinished",
    "Caller",
    "Context",
    "Event",
    "Failed",
    "FellBack",
    "FunctionStep",
    "GeneratorStep",
    "Hook",
    "InDoubt",
    "Ok",
    "Outcome",
    "Parallel",
    "Progress",
    "Reservation",
    "Retrying",
    "RunID",
    "Sequence",
    "Step",
    "StreamAlarm",
    "StreamCaller",
    "Wrapper",
    "as_step",
    "install",
    "step",
]
