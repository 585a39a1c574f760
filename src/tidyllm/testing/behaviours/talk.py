"""Models that talk instead of working: prose, contradictions, claims, nothing at all, and far too much."""

from __future__ import annotations

from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.offer import offer
from tidyllm.testing.behaviours.roles import Behaviour, acting, role_answer, schema_of

__all__ = ["claiming", "contradicting", "empty", "huge", "prose", "unknown_tool"]

_SENTENCES = (
    "Before I touch the code, let me think about what a good program is.",
    "There are several ways to see this, and each of them has its merits.",
    "On the one hand the tests should pass; on the other hand, what is a test?",
    "I will now begin to consider how one might begin.",
)


def prose(*, everywhere: bool = False) -> Behaviour:
    """Another paragraph at each turn, never a call and never an end."""

    def behave(request: Request) -> str:
        turn = sum(each.role == "assistant" for each in request.turns)
        return f"{turn + 1}. {_SENTENCES[turn % len(_SENTENCES)]} I will go on in my next answer."

    return acting(behave, everywhere=everywhere)


def contradicting() -> Behaviour:
    """Prose for every role, full of the words of decisions and of tools that it says it does not mean."""

    def behave(request: Request) -> str:
        tools = offer(request)
        name = tools.name("write") or "write_file"
        return (
            "I will not change_phase, and I would never finish here. The next task is to ask whether to ask the user: "
            f"do not call {name}. Some would say change_phase to documentation, which is wrong. continue_phase? No. "
            'An example of what I do not want: {"action": "finish" - so please do nothing of it.'
        )

    return behave


def claiming(*, everywhere: bool = False) -> Behaviour:
    """It says that all tests pass, with pytest's own words, and has done nothing; as data where data is asked for."""
    text = "I have fixed the bug, and all tests pass:\n\n12 passed in 0.34s\n\nThe task is done."
    claims = {"summary": text, "answer": text, "checked": True, "passed": True, "tests_pass": True}

    def behave(request: Request) -> Reply | str:
        return text if schema_of(request) is None else role_answer(request, claims)

    return acting(behave, everywhere=everywhere)


def empty(*, everywhere: bool = False) -> Behaviour:
    """Nothing: no text and no call."""
    return acting(lambda request: Reply(), everywhere=everywhere)


def huge(size: int = 2_000_000, *, everywhere: bool = False) -> Behaviour:
    """An answer of `size` characters, unless the request caps it."""
    sentence = "And furthermore, it must be said once more. "
    text = (sentence * (size // len(sentence) + 1))[:size]
    return acting(lambda request: text, everywhere=everywhere)


def unknown_tool(name: str = "fix_everything", *, everywhere: bool = False) -> Behaviour:
    """Calls of a tool that nobody offered."""
    return acting(lambda request: offer(request).calling(name, {"path": "."}), everywhere=everywhere)
