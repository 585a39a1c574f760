"""The one tree of errors. It knows nothing of steps, models or HTTP: only what went wrong and what the caller can do.

    TidyllmError
    ├── ConfigError                 a file or an argument is wrong before anything ran
    ├── StepError                   a program breaks a rule of composition
    │   └── NobodyToAsk             `ctx.ask` without anyone to answer
    ├── TimeoutExceeded             a clock of ours ran out (also a builtin TimeoutError)
    ├── SagaFailed                  a saga failed and some compensation failed too
    ├── ModelError                  a provider said no, or said nothing usable
    │   ├── AuthError               key missing, wrong or without permission
    │   ├── BadRequest              the provider (or we, before it) cannot take the request
    │   │   ├── ContextTooLong      more tokens than the model's window
    │   │   ├── ModelNotFound       no such model there
    │   │   └── Unsupported         a field which this provider has no place for
    │   ├── ContentRefused          a content filter stopped it
    │   ├── RateLimited             too many requests or tokens; `retry_after` seconds if it was said
    │   ├── Overloaded              the provider is busy or broken (5xx)
    │   ├── Unreachable             no connection, or it broke before the answer
    │   ├── BadAnswer               the answer is not what the format promises
    │   └── StreamInterrupted       a stream ended early; `partial` holds what had come
    ├── Refused                     we said no before any work was done
    │   ├── BreakerOpen             the circuit breaker is open
    │   ├── LimitExceeded           no free slot or token, and the caller would not wait
    │   ├── NotCached               the caller wanted a kept answer or none, and none is kept
    │   ├── BudgetExceeded          the most that a call can cost is more than a budget has left
    │   └── PriceUnknown            a budget cannot hold what a call of unknown price may cost
    ├── RunError                    a durable run cannot go on, or cannot be made
    │   ├── RunNotFound             no run of that id
    │   ├── RunDiverged             the program has changed since the run was recorded
    │   ├── RunInDoubt              a call was in flight at the crash, and may not be made again
    │   ├── RunCancelled            it was cancelled
    │   ├── RunFailed               it ended with an error that is not ours
    │   ├── StepFailed              a recorded step failed with an error that is not ours
    │   ├── LeaseLost               another worker has taken it over
    │   ├── UnregisteredType        a value that cannot be saved and read back
    │   └── AnotherRuntime          this process has a runtime on another database
    ├── StoreError                  the database cannot be used as it is, or said no
    │   └── StoreDown               the database or Redis cannot be reached now
    ├── WorkspaceError              a workspace cannot do what was asked
    │   ├── OutsideWorkspace        a path leads out of it
    │   ├── CommandRefused          a command may not run there
    │   └── EditConflict            a file is not as it was
    ├── ToolError                   a tool could not be made or called
    │   ├── ToolDenied              its policy, or a person, said no
    │   ├── UnknownTool             no such tool in the toolset
    │   ├── BadToolCall             arguments that do not fit its schema
    │   └── ToolServerDown          a server of tools cannot be reached, or ended
    └── AgentStopped                an agent ended before it was done; `partial` holds its best result

Each class says whether trying again can help (`retryable`) and what to do (`hint`). Every error survives pickling.
Cancellation is not an error and never becomes one.
"""

from tidyllm.errors.base import (
    ConfigError,
    NobodyToAsk,
    SagaFailed,
    StepError,
    TidyllmError,
    TimeoutExceeded,
)
from tidyllm.errors.model import (
    AuthError,
    BadAnswer,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    Unreachable,
    Unsupported,
)
from tidyllm.errors.refused import (
    BreakerOpen,
    BudgetExceeded,
    LimitExceeded,
    NotCached,
    PriceUnknown,
    Refused,
)
from tidyllm.errors.run import (
    AnotherRuntime,
    LeaseLost,
    RunCancelled,
    RunDiverged,
    RunError,
    RunFailed,
    RunInDoubt,
    RunNotFound,
    StepFailed,
    UnregisteredType,
)
from tidyllm.errors.store import (
    StoreDown,
    StoreError,
)
from tidyllm.errors.workspace import (
    AgentStopped,
    BadToolCall,
    CommandRefused,
    EditConflict,
    OutsideWorkspace,
    ToolDenied,
    ToolError,
    ToolServerDown,
    UnknownTool,
    WorkspaceError,
)

__all__ = [
    "AgentStopped",
    "AnotherRuntime",
    "AuthError",
    "BadAnswer",
    "BadRequest",
    "BadToolCall",
    "BreakerOpen",
    "BudgetExceeded",
    "CommandRefused",
    "ConfigError",
    "ContentRefused",
    "ContextTooLong",
    "EditConflict",
    "LeaseLost",
    "LimitExceeded",
    "ModelError",
    "ModelNotFound",
    "NobodyToAsk",
    "NotCached",
    "OutsideWorkspace",
    "Overloaded",
    "PriceUnknown",
    "RateLimited",
    "Refused",
    "RunCancelled",
    "RunDiverged",
    "RunError",
    "RunFailed",
    "RunInDoubt",
    "RunNotFound",
    "SagaFailed",
    "StepError",
    "StepFailed",
    "StoreDown",
    "StoreError",
    "StreamInterrupted",
    "TidyllmError",
    "TimeoutExceeded",
    "ToolDenied",
    "ToolError",
    "ToolServerDown",
    "UnknownTool",
    "Unreachable",
    "UnregisteredType",
    "Unsupported",
    "WorkspaceError",
]

for _name in __all__:
    # Tracebacks, logs and saved errors name the place that users import from.
    globals()[_name].__module__ = __name__
