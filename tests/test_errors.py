"""The tree of errors: every class survives pickling and copying, prints what to do, and says whether to try again."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tidyllm import errors
from tidyllm.errors import (
    AgentStopped,
    AnotherRuntime,
    AuthError,
    BadAnswer,
    BadRequest,
    BadToolCall,
    BreakerOpen,
    BudgetExceeded,
    CommandRefused,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    EditConflict,
    LeaseLost,
    LimitExceeded,
    ModelError,
    ModelNotFound,
    NobodyToAsk,
    NotCached,
    OutsideWorkspace,
    Overloaded,
    PriceUnknown,
    RateLimited,
    Refused,
    RunCancelled,
    RunDiverged,
    RunError,
    RunFailed,
    RunInDoubt,
    RunNotFound,
    SagaFailed,
    StepError,
    StepFailed,
    StoreDown,
    StoreError,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    ToolDenied,
    ToolError,
    ToolServerDown,
    UnknownTool,
    Unreachable,
    UnregisteredType,
    Unsupported,
    WorkspaceError,
)

WHERE: dict[str, Any] = {
    "provider": "main",
    "model": "gpt-5-mini",
    "status": 418,
    "code": "teapot",
    "request_id": "req_1",
    "provider_message": "short and stout",
    "retry_after": 1.5,
}

MAKE: dict[type[TidyllmError], Callable[[], TidyllmError]] = {
    TidyllmError: lambda: TidyllmError("it broke.", hint="Mend it."),
    ConfigError: lambda: ConfigError("expected a number.", where="models.fast.retry.attempts"),
    StepError: lambda: StepError("a name is used twice."),
    NobodyToAsk: lambda: NobodyToAsk("Delete?", path="outer/inner"),
    Refused: lambda: Refused("not now.", retry_after=2.0),
    BreakerOpen: lambda: BreakerOpen("main", failures=5, window=30.0, retry_after=-1.0),
    LimitExceeded: lambda: LimitExceeded("no slot within 5 s.", retry_after=0.5),
    NotCached: lambda: NotCached("nothing is kept for this request."),
    BudgetExceeded: lambda: BudgetExceeded(
        "team:search",
        what="main/gpt",
        asked_usd="0.02",
        limit_usd="5",
        spent_usd="4.99",
        reserved_usd="0",
        window="month",
        window_ends_at=2e9,
        retry_after=60.0,
    ),
    PriceUnknown: lambda: PriceUnknown("team:search", what="main/gpt"),
    TimeoutExceeded: lambda: TimeoutExceeded("gap", 15.0, what="step 'fast'"),
    SagaFailed: lambda: SagaFailed("charge", ValueError("no card"), [("book", KeyError("gone"))]),
    StoreError: lambda: StoreError("the file is corrupt.", hint="Restore it."),
    StoreDown: lambda: StoreDown("no connection."),
    ModelError: lambda: ModelError("something.", **WHERE),
    AuthError: lambda: AuthError("wrong key.", **WHERE),
    BadRequest: lambda: BadRequest("not a number.", field="temperature", **WHERE),
    ContextTooLong: lambda: ContextTooLong("9,000 tokens in a window of 8,192.", **WHERE),
    ModelNotFound: lambda: ModelNotFound("no such model.", **WHERE),
    Unsupported: lambda: Unsupported("seed", format="anthropic", why="it draws its own"),
    ContentRefused: lambda: ContentRefused("filtered.", **WHERE),
    RateLimited: lambda: RateLimited("too many requests.", **WHERE),
    Overloaded: lambda: Overloaded("busy.", **WHERE),
    Unreachable: lambda: Unreachable("no connection.", **WHERE),
    BadAnswer: lambda: BadAnswer("not JSON.", **WHERE),
    StreamInterrupted: lambda: StreamInterrupted("cut after 3 pieces.", partial={"text": "Hel"}, **WHERE),
    WorkspaceError: lambda: WorkspaceError("a binary file."),
    OutsideWorkspace: lambda: OutsideWorkspace("'../x' leads out."),
    CommandRefused: lambda: CommandRefused("'sh' is not allowed."),
    EditConflict: lambda: EditConflict("not there."),
    ToolError: lambda: ToolError("no signature."),
    ToolDenied: lambda: ToolDenied("the policy says no."),
    UnknownTool: lambda: UnknownTool("no tool 'read'."),
    ToolServerDown: lambda: ToolServerDown("the server 'files' ended."),
    BadToolCall: lambda: BadToolCall("'path' is missing."),
    AgentStopped: lambda: AgentStopped("after 3 turns.", stop="turns", partial="half"),
    RunError: lambda: RunError("no.", run_id="r1"),
    RunNotFound: lambda: RunNotFound("no run 'r1'.", run_id="r1"),
    RunDiverged: lambda: RunDiverged(
        "other step.", step="a/b", recorded_version="1", version="2", run_id="r1"
    ),
    RunInDoubt: lambda: RunInDoubt("in flight.", step="a/b", run_id="r1"),
    RunCancelled: lambda: RunCancelled("stopped.", run_id="r1"),
    RunFailed: lambda: RunFailed("ValueError: no.", run_id="r1"),
    StepFailed: lambda: StepFailed("ValueError: no.", step="a/b", kind="ValueError", run_id="r1"),
    LeaseLost: lambda: LeaseLost("taken over.", run_id="r1"),
    UnregisteredType: lambda: UnregisteredType("cannot save a socket."),
    AnotherRuntime: lambda: AnotherRuntime("one is open."),
}


def tree(of: type[TidyllmError] = TidyllmError) -> Iterator[type[TidyllmError]]:
    """All our classes; those that tests define are left out."""
    if of.__module__ == errors.__name__:
        yield of
    for below in of.__subclasses__():
        yield from tree(below)


ALL = list(tree())


def parts(value: object) -> object:
    """What is compared of an attribute: errors inside errors are equal when they print alike."""
    if isinstance(value, BaseException):
        return type(value), str(value)
    return tuple(map(parts, value)) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType]


def test_every_class_is_exported_and_made_here() -> None:
    assert set(ALL) == set(MAKE)
    assert {each.__name__ for each in ALL} == set(errors.__all__)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_all_it_knows(kind: type[TidyllmError], protocol: int) -> None:
    error = MAKE[kind]()
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == str(error)
    assert {name: parts(value) for name, value in vars(again).items()} == {
        name: parts(value) for name, value in vars(error).items()
    }


@pytest.mark.parametrize("kind", ALL)
def test_every_error_can_be_copied_and_raised_again(kind: type[TidyllmError]) -> None:
    with pytest.raises(kind, match=re.escape(str(MAKE[kind]()))):
        raise copy.copy(MAKE[kind]())


def test_an_error_made_by_a_subclass_elsewhere_survives_as_well() -> None:
    again = pickle.loads(pickle.dumps(Elsewhere(3, place="here")))
    assert (str(again), again.count, again.place) == ("3 times in here", 3, "here")


class Elsewhere(TidyllmError):
    """A subclass with arguments of its own, as a program may define it."""

    def __init__(self, count: int, *, place: str) -> None:
        super().__init__(f"{count} times in {place}")
        self.count = count
        self.place = place


@pytest.mark.parametrize("kind", ALL)
def test_what_to_do_is_part_of_what_is_printed(kind: type[TidyllmError]) -> None:
    error = MAKE[kind]()
    assert error.message in str(error)
    assert error.hint in str(error)
    assert error.hint or not kind.default_hint


def test_a_hint_that_is_given_replaces_the_one_of_the_class() -> None:
    assert LimitExceeded("no slot.", hint="Ask Ann.").hint == "Ask Ann."
    assert str(LimitExceeded("no slot.", hint="")) == "no slot."


def test_a_message_says_what_happened_what_was_expected_and_what_to_do() -> None:
    assert str(MAKE[BreakerOpen]()) == (
        "circuit breaker 'main' is open after 5 failures within 30 s; next probe in 0.00 s. "
        "Fall back to another target, or wait for the probe."
    )
    assert str(MAKE[Unsupported]()) == (
        "'seed' cannot be sent in the anthropic format: it draws its own. "
        "Leave it out, use another provider, or make this one lenient (`lenient=True`; in a gateway's file "
        "`lenient: true`), which leaves it out and reports that."
    )
    assert str(MAKE[NobodyToAsk]()) == (
        "step 'outer/inner' asked 'Delete?', but this context has nobody to answer. "
        "Run it in a context made with `asker=`, or decide without a question."
    )
    assert str(MAKE[SagaFailed]()) == (
        "step 'charge' failed (ValueError: no card) and these could not be undone: 'book' (KeyError: 'gone'). "
        "Undo them by hand; the other steps were compensated in reverse order."
    )
    assert str(MAKE[ConfigError]()) == "models.fast.retry.attempts: expected a number."


@pytest.mark.parametrize(
    ("clock", "seconds", "message"),
    [
        (
            "total",
            60.0,
            "step 'x' did not finish within 60 s (total). Raise total=…, or let it do less at once.",
        ),
        (
            "first_piece",
            0.25,
            "step 'x' sent no first piece within 0.25 s (first_piece). Raise first_piece=…",
        ),
        ("gap", 15.0, "step 'x' sent nothing more within 15 s (gap). Raise gap=…"),
        ("connect", 5.0, "step 'x' did not finish within 5 s (connect)."),
        (
            "deadline",
            2.99998,
            "step 'x' did not finish before the deadline, 3 s after it began. Give the run",
        ),
        ("deadline", 0.0, "step 'x' was not begun: the deadline had passed. Give the run a later deadline"),
    ],
)
def test_a_timeout_names_its_clock_and_how_to_change_it(clock: str, seconds: float, message: str) -> None:
    error = TimeoutExceeded(clock, seconds, what="step 'x'")
    assert str(error).startswith(message)
    assert (error.clock, error.seconds, error.what) == (clock, seconds, "step 'x'")
    assert isinstance(error, TimeoutError)
    assert error.retryable == (clock != "deadline")


def test_a_model_error_says_where_it_happened() -> None:
    error = RateLimited("too many requests.", provider="main", model="gpt-5-mini", request_id="req_1")
    assert str(error).startswith("main/gpt-5-mini: too many requests. Wait")
    assert str(error).endswith("[request req_1]")
    assert str(Overloaded("busy.", hint="")) == "busy."
    assert str(Overloaded("busy.", request_id="r", hint="")) == "busy. [request r]"


def test_where_it_happened_is_filled_in_once() -> None:
    error = Overloaded("busy.", provider="main")
    assert error.at(provider="other", model="m", request_id="r") is error
    assert (error.provider, error.model, error.request_id) == ("main", "m", "r")


RETRYABLE = {
    BadAnswer,
    LimitExceeded,
    Overloaded,
    RateLimited,
    Refused,
    StoreDown,
    TimeoutExceeded,
    ToolServerDown,
    Unreachable,
}


@pytest.mark.parametrize("kind", ALL)
def test_trying_again_is_worth_while_for_these_only(kind: type[TidyllmError]) -> None:
    assert MAKE[kind]().retryable == (kind in RETRYABLE)


def test_cancellation_is_no_error_of_ours() -> None:
    assert not any(issubclass(kind, asyncio.CancelledError) for kind in ALL)
    assert all(issubclass(kind, Exception) for kind in ALL)


def test_the_tree_in_the_documentation_is_the_tree_in_the_code() -> None:
    drawn = re.findall(r"^ {4}[│ ]*[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert ["TidyllmError", *drawn] == [kind.__name__ for kind in ALL]
