"""Models that never end by themselves."""

from __future__ import annotations

from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.offer import Deed, Offer, offer
from tidyllm.testing.behaviours.roles import Behaviour, acting

__all__ = ["looping", "ping_pong", "wandering"]


def looping(deed: Deed = "list", *, everywhere: bool = False) -> Behaviour:
    """The same call for ever: of the listing, of the first tool there is, or of the one for `deed`.

    `"test"` runs the tests again and again, whose output differs in the time they took.
    """

    def behave(request: Request) -> Reply:
        tools = offer(request)
        return tools.call(deed) if deed in ("test", "answer") and tools.name(deed) else _list(tools)

    return acting(behave, everywhere=everywhere)


def ping_pong(*, tests: bool = False, everywhere: bool = False) -> Behaviour:
    """Two calls in turn, for ever: the listing, and reading a file that is no file; with `tests` it runs the tests
    instead, whose output differs in the time they took."""

    def behave(request: Request) -> Reply:
        tools = offer(request)
        if _turns(request) % 2 == 0:
            return _list(tools)
        if tests and tools.name("test"):
            return tools.call("test")
        return (
            tools.call("read", path=".") if tools.name("read") else tools.calling("read_file", {"path": "."})
        )

    return acting(behave, everywhere=everywhere)


def wandering(*, everywhere: bool = False) -> Behaviour:
    """Never the same call twice and never a change: it searches for word after word."""

    def behave(request: Request) -> Reply:
        tools, word = offer(request), f"word{_turns(request)}"
        if tools.name("search"):
            return tools.call("search", pattern=word)
        return (
            tools.call("read", path=word)
            if tools.name("read")
            else tools.calling("search", {"pattern": word})
        )

    return acting(behave, everywhere=everywhere)


def _turns(request: Request) -> int:
    return sum(turn.role == "assistant" for turn in request.turns)


def _list(tools: Offer) -> Reply:
    if tools.name("list"):
        return tools.call("list", path=".")
    return tools.calling(next(iter(tools.schemas), "list_files"), {"path": "."})
