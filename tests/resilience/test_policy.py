"""Which errors are worth another try, another target, or a mark against a target: a verdict for each class."""

from __future__ import annotations

import re

import pytest

from tests.shared_data import ROOT
from tidyllm import errors
from tidyllm.errors import TidyllmError
from tidyllm.resilience import policy
from tidyllm.resilience.policy import counts_against_target, worth_another_target, worth_retrying

# again, elsewhere, counts
VERDICTS: dict[str, tuple[bool, bool, bool]] = {
    "AgentStopped": (False, True, False),
    "AnotherRuntime": (False, False, False),
    "AuthError": (False, True, False),
    "BadAnswer": (True, True, True),
    "BadRequest": (False, False, False),
    "BadToolCall": (False, False, False),
    "BreakerOpen": (False, True, False),
    "BudgetExceeded": (False, True, False),
    "CommandRefused": (False, False, False),
    "ConfigError": (False, False, False),
    "ContentRefused": (False, True, False),
    "ContextTooLong": (False, True, False),
    "EditConflict": (False, False, False),
    "LeaseLost": (False, False, False),
    "LimitExceeded": (True, True, False),
    "ModelNotFound": (False, True, False),
    "NobodyToAsk": (False, False, False),
    "NotCached": (False, True, False),
    "OutsideWorkspace": (False, False, False),
    "Overloaded": (True, True, True),
    "PriceUnknown": (False, True, False),
    "RateLimited": (True, True, False),
    "RunCancelled": (False, False, False),
    "RunDiverged": (False, False, False),
    "RunError": (False, False, False),
    "RunFailed": (False, True, True),
    "RunInDoubt": (False, False, False),
    "RunNotFound": (False, False, False),
    "SagaFailed": (False, False, True),
    "StepError": (False, False, False),
    "StepFailed": (False, True, True),
    "StoreDown": (True, False, False),
    "StoreError": (False, False, False),
    "StreamInterrupted": (False, False, True),
    "ToolDenied": (False, False, False),
    "ToolError": (False, False, False),
    "ToolServerDown": (True, True, True),
    "UnknownTool": (False, False, False),
    "Unreachable": (True, True, True),
    "UnregisteredType": (False, False, False),
    "Unsupported": (False, True, False),
    "WorkspaceError": (False, False, False),
}
ABSTRACT = {"TidyllmError", "Refused", "ModelError", "TimeoutExceeded"}


def test_every_class_of_the_tree_has_a_verdict() -> None:
    classes = {name for name in errors.__all__ if issubclass(getattr(errors, name), TidyllmError)}
    assert classes - ABSTRACT == set(VERDICTS)


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_on_each_class(name: str) -> None:
    kind = getattr(errors, name)
    error: TidyllmError = kind.__new__(kind)
    judged = (worth_retrying(error), worth_another_target(error), counts_against_target(error))
    assert judged == VERDICTS[name]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.TimeoutExceeded("total", 5, what="step"), (True, True, True)),
        (errors.TimeoutExceeded("deadline", 5, what="step"), (False, False, False)),
        (ConnectionResetError(), (True, True, True)),
        (TimeoutError(), (True, True, True)),
        (ValueError(), (False, True, True)),
    ],
)
def test_the_verdict_on_clocks_and_foreign_errors(error: Exception, verdict: tuple[bool, bool, bool]) -> None:
    assert (worth_retrying(error), worth_another_target(error), counts_against_target(error)) == verdict


def table(text: str, row: str, cell: str) -> dict[str, list[str]]:
    """The words in the three columns for each error that a table names."""
    found: dict[str, list[str]] = {}
    for line in re.findall(row, text, re.MULTILINE):
        first, *words = re.split(cell, line)
        found.update(
            {name: [word.partition(":")[0] for word in words] for name in re.findall(r"[A-Z]\w+", first)}
        )
    return found


def test_the_page_of_the_documentation_and_the_table_beside_the_code_say_the_same() -> None:
    """For a stream both say what wrappers add: what broke before its first piece was seen by nobody."""
    page = (ROOT / "docs" / "concepts" / "resilience.md").read_text("utf-8")
    section = page.partition("## Which errors")[2].partition("\n## ")[0]
    told = table(section, r"^\| (.*) \|$", r" \| ")
    assert told == table(policy.__doc__ or "", r"^    (\S.*)$", r"  +")
    said = {name: tuple(word == "yes" for word in words) for name, words in told.items()}
    assert {name: said[name] for name in VERDICTS} == VERDICTS
