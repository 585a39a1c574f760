"""Models with a script, for tests of programs that ask models. It knows the offline model, not what is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from tidyllm.models.message import ToolCall
from tidyllm.models.model import Model
from tidyllm.models.offline import OfflineTransport, Reply
from tidyllm.models.provider import provider
from tidyllm.models.request import Request

__all__ = ["Scripted", "scripted"]


class Scripted(Model):
    """A model that answers from a script; everything but the provider is the real thing. Make it with `scripted`."""

    script: OfflineTransport

    @property
    def requests(self) -> list[Request]:
        """What it was asked, in order."""
        return self.script.requests


def scripted(
    *replies: Reply | str | Callable[[Request], Reply | str], name: str = "scripted", lenient: bool = False
) -> Scripted:
    """A model that gives `replies` in order: text, or a `Reply` with tool calls, usage or faults.

    >>> from tidyllm.testing import scripted
    >>> model = scripted("Paris.", "Rome.")
    >>> [model.run_sync(f"The capital of {land}?").text for land in ("France", "Italy")]
    ['Paris.', 'Rome.']
    >>> model.requests[1].messages[0].content
    'The capital of Italy?'

    One function instead answers every call: `scripted(lambda request: …)`. A call after the last reply raises
    `StepError`: a test that asks more often than it says is wrong.

    :raises TypeError: a function stands beside other replies, or something is no reply.
    """
    for each in replies:
        if not isinstance(each, Reply | str) and not callable(each):
            raise TypeError(
                f"scripted() takes texts and replies one by one, not a {type(each).__name__}. {_hint(each)}"
            )
    functions = [each for each in replies if callable(each)]
    if functions and len(replies) > 1:
        raise TypeError("scripted() takes replies, or one function of the request.")
    fixed = [each for each in replies if not callable(each)]
    script = OfflineTransport(functions[0] if functions else fixed, ends=True)
    model = Scripted(name, provider("offline"), transport=script, lenient=lenient, name=name)
    model.script = script
    return model


def _hint(given: object) -> str:
    """How to write what was meant."""
    some = cast("Sequence[object]", given) if isinstance(given, list | tuple) else (given,)
    if some and all(isinstance(one, ToolCall) for one in some):
        return "An answer with tool calls is scripted(Reply(tool_calls=(call(...),)))."
    return (
        "Write scripted(*replies) for a list of them."
        if some is given
        else "Write scripted('text') or scripted(Reply(...))."
    )
