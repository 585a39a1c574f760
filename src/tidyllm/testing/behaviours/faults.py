"""Models behind a bad line: silence, broken connections, errors, nonsense instead of an answer."""

from __future__ import annotations

import threading
from collections import Counter
from hashlib import sha256

import msgspec

from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.roles import Behaviour, role_answer

__all__ = ["busy", "dying", "garbled", "slow", "stalling", "with_fault"]


def with_fault(fault: Reply, *, times: int | None = None, then: Behaviour | None = None) -> Behaviour:
    """What `then` says (default: a sensible colleague), with the faults of `fault` put upon it.

    `times`: only the first calls of each question are; asked the same once more, the answer comes as it should. The
    questions are counted by their content, so that other questions in between change nothing.
    """
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def behave(request: Request) -> Reply:
        given = (then or role_answer)(request)
        reply = Reply(text=given) if isinstance(given, str) else given
        asked = [[turn.role, repr(turn.content)] for turn in request.turns]
        key = sha256(msgspec.json.encode([str(request.system), asked])).hexdigest()
        with lock:
            counts[key] += 1
            over = times is not None and counts[key] > times
        if over:
            return reply
        changed = {
            name: value for name, value in msgspec.structs.asdict(fault).items() if value != _NONE[name]
        }
        return msgspec.structs.replace(reply, **changed)

    return behave


_NONE = msgspec.structs.asdict(Reply())


def stalling(
    after: int = 0, *, seconds: float | None = None, times: int | None = None, then: Behaviour | None = None
) -> Behaviour:
    """Silence after `after` pieces, for ever; with `seconds` instead a pause before the first one."""
    fault = Reply(stall_after=after) if seconds is None else Reply(delay=seconds)
    return with_fault(fault, times=times, then=then)


def dying(after: int = 2, *, times: int | None = None, then: Behaviour | None = None) -> Behaviour:
    """The connection is reset after `after` pieces."""
    return with_fault(Reply(cut_after=after), times=times, then=then)


def busy(
    status: int = 429,
    *,
    retry_after: float | None = 1.0,
    times: int | None = None,
    then: Behaviour | None = None,
) -> Behaviour:
    """An HTTP error with `Retry-After` in seconds."""
    fault = Reply(status=status, retry_after=retry_after, message="the scripted model is busy")
    return with_fault(fault, times=times, then=then)


def garbled(kind: str = "json", *, times: int | None = None, then: Behaviour | None = None) -> Behaviour:
    """No answer at all under status 200: JSON that ends early (`json`), a page of HTML (`html`), nothing (`empty`), or
    JSON of another kind (`other`)."""
    bodies = {
        "json": (b'{"id": "chatcmpl-1", "choices": [{"message": {"role": "assis', None),
        "html": (b"<html><body>Bad gateway</body></html>", "text/html"),
        "empty": (b"", None),
        "other": (b'{"weather": "fine"}', None),
    }
    body, content_type = bodies[kind]
    return with_fault(Reply(garbage=body, content_type=content_type), times=times, then=then)


def slow(piece_seconds: float = 0.05, *, then: Behaviour | None = None) -> Behaviour:
    """A pause before each further piece of a stream."""
    return with_fault(Reply(piece_delay=piece_seconds), then=then)
