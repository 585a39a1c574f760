"""Saved chats: one file each, for their owner's eyes only. It knows files and names, and asks no model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from secrets import token_hex

import msgspec

from tidyllm import clock
from tidyllm.agents import Conversation
from tidyllm.errors import ConfigError
from tidyllm.store.location import default_path

__all__ = ["Saved", "chats", "find", "folder", "save"]

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_LIST = "tidyllm chat --list shows those there are."


class Saved(msgspec.Struct):
    """A chat as it lies in its file. Tokens and dollars are of all answers so far, those taken back included."""

    id: str
    model: str
    """As it was asked for; empty for the first one of the configuration."""
    created: float
    """Seconds since 1970, as `updated`."""
    updated: float = 0.0
    title: str = ""
    system: str | None = None
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0
    """Answers whose price is unknown; they are not in `cost_usd`."""
    conversation: msgspec.Raw = msgspec.Raw(b"null")

    @classmethod
    def new(cls, model: str, system: str | None) -> Saved:
        """An empty one, with an id by its time."""
        now = clock.now()
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M")
        return cls(f"{stamp}-{token_hex(2)}", model, now, system=system)

    def talk(self) -> Conversation:
        """The conversation."""
        return (
            Conversation()
            if bytes(self.conversation) == b"null"
            else Conversation.from_json(self.conversation)
        )


def folder() -> Path:
    """Where chats are kept: `chats` beside the default store. Only its owner may look into it."""
    place = default_path().parent / "chats"
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"chats cannot be kept in {place}: {error.strerror or error}.",
            hint="Set XDG_DATA_HOME to a folder that you may write.",
        ) from error
    return place


def save(chat: Saved, talk: Conversation) -> Path:
    """Write it; a file that is there is replaced whole or not at all.

    :raises ConfigError: it cannot be written.
    """
    chat.updated = clock.now()
    chat.conversation = msgspec.Raw(talk.to_json())
    path = folder() / f"{chat.id}.json"
    beside = path.with_name(f".{chat.id}.{os.getpid()}.new")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(chat))
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def find(given: str) -> Saved:
    """The chat of that id, or whose id alone begins so; `last`: the one that was used last.

    :raises ConfigError: there is none, there are several, or its file cannot be read.
    """
    if given == "last":
        newest = max(chats(), key=lambda one: one.updated, default=None)
        if newest is None:
            raise ConfigError("no chat was saved yet.", where="--resume")
        return newest
    if not _ID.fullmatch(given):
        raise ConfigError(f"{given[:60]!r} is no id of a chat.", where="--resume", hint=_LIST)
    place = folder()
    names = [path.stem for path in place.glob(f"{given}*.json")]
    if given in names:
        names = [given]
    if len(names) != 1:
        what = f"{len(names)} chats begin with {given!r}." if names else f"there is no chat {given!r}."
        raise ConfigError(what, where="--resume", hint=_LIST)
    return _read(place / f"{names[0]}.json")


def chats() -> Iterator[Saved]:
    """All that can be read."""
    for path in sorted(folder().glob("*.json")):
        try:
            yield _read(path)
        except ConfigError:
            continue


def _read(path: Path) -> Saved:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Saved)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path} is no saved chat: {why}.") from error
