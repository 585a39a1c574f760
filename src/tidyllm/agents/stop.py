"""Why an agent ended. It knows the reasons, not how they are found."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Stop", "StopReason"]


class StopReason(StrEnum):
    """The closed list of ends. Only `done` is a success; every other one comes with the best partial result."""

    done = "done"
    """The model gave its final answer, and it fits the output type."""
    turns = "turns"
    """The cap on model calls of the whole tree."""
    tool_calls = "tool_calls"
    """The cap on tool calls of the whole tree."""
    tokens = "tokens"
    """The cap on tokens, or a conversation that cannot be made to fit the model's window."""
    budget = "budget"
    """The cap on dollars, of the agent or of whoever pays for the run; under one, an unknown price, too."""
    deadline = "deadline"
    """The cap on seconds; also what interrupts a model that stalls."""
    repeated = "repeated"
    """The same tool, arguments and result, again and again."""
    ping_pong = "ping_pong"
    """Two calls in turn (A, B, A, B) that each give what they gave before."""
    no_progress = "no_progress"
    """No turn of late gave anything new."""
    malformed = "malformed"
    """Tool calls or a final answer that cannot be read, after all repairs."""
    truncated = "truncated"
    """Answers cut at the output cap, after all repairs."""
    empty = "empty"
    """Answers without a word or a call, after all repairs."""
    refused = "refused"
    """The model or its provider refused the content."""
    denied = "denied"
    """Every tool it wanted was denied, several turns in a row."""
    cancelled = "cancelled"
    """The run was cancelled; seen in events only, since a cancellation is raised."""
    model_error = "model_error"
    """The model could not answer; its wrappers had tried again as they are told to."""


class Stop(msgspec.Struct, frozen=True):
    """An end that was found: the reason, and the words with names and numbers."""

    reason: StopReason
    detail: str = ""
