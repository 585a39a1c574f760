"""What administrative commands share: the store, who acts, arguments as fields, tables. It knows no acts."""

from __future__ import annotations

import getpass
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    import msgspec

    from tidyllm.access import Actor
    from tidyllm.store import Store

__all__ = [
    "AsJson",
    "Json",
    "StoreURL",
    "acting",
    "asked",
    "changed",
    "me",
    "pairs",
    "seconds",
    "show",
    "table",
    "when",
]

StoreURL = Annotated[
    str | None,
    typer.Option(
        "--store",
        "-s",
        metavar="URL",
        help="A path, sqlite:///path or postgresql://… "
        "Default: $TIDYLLM_STORE_URL, else store.url of ./tidyllm.yaml, else ~/.local/share/tidyllm/store.db.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, as it does in any case.", show_default=False)
]
"""Of commands that have nothing else to print: a script may say the same to all of them."""

T = TypeVar("T")
S = TypeVar("S", bound="msgspec.Struct")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def acting(url: str | None, act: Callable[[Store], Awaitable[T]]) -> T:
    """What `act` gives on the store at `url`, which is closed afterwards."""

    import asyncio

    from tidyllm.cli.settings import chosen_store
    from tidyllm.store import Store

    store = Store.open(chosen_store(url))

    async def run() -> T:
        return await act(store)

    try:
        return asyncio.run(run())
    finally:
        store.close()


def me() -> Actor:
    """Who types: the machine's user. Whoever can write the store's file or knows its password is an admin of it."""
    from tidyllm.access import Actor, Role

    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container without a name for its user
        name = "?"
    return Actor(name=name, kind="cli", role=Role.ADMIN)


def asked(kind: type[S], values: Mapping[str, Any]) -> S:
    """Arguments as what is asked for; None means that an argument was not given.

    :raises ConfigError: one of them is wrong.
    """
    import msgspec

    from tidyllm.access.fields import checked, explained

    given = {name: value for name, value in values.items() if value not in (None, [], {})}
    try:
        spec = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise explained(error, given) from None
    return checked(spec)


def changed(kind: type[S], text: str) -> S:
    """A JSON object as a change.

    :raises ConfigError: it is no JSON, a field is wrong, or one comes twice.
    """
    import json

    import msgspec

    from tidyllm.access.fields import explained

    try:
        values = msgspec.json.decode(text.encode("utf-8", "replace"), type=dict[str, Any])
        json.loads(text, object_pairs_hook=_once)  # msgspec keeps the last of two without a word
    except (msgspec.MsgspecError, RecursionError):
        raise ConfigError(
            f"{text[:100]!r} is no JSON object.", where="change", hint="""For example: '{"concurrency": 5}'"""
        ) from None
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise explained(error, values) from None


def _once(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) < len(fields):
        names = [name for name, _ in fields]
        name = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{name[:100]!r} comes twice.", where=name[:100])
    return found


def seconds(text: str | None, where: str) -> int | None:
    """`90`, `30m`, `12h`, `7d`, `2w` as seconds.

    :raises ConfigError: it is none of these.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,10})([smhdw]?)", text)
    if found is None:
        raise ConfigError(f"{text[:100]!r} is no time; write 90, 90s, 30m, 12h, 7d or 2w.", where=where)
    return int(found[1]) * _UNITS[found[2] or "s"]


def pairs(texts: Sequence[str], where: str) -> dict[str, str]:
    """`NAME=VALUE` arguments as a dictionary.

    :raises ConfigError: one has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name in found:
            why = "comes twice" if sign else "is not NAME=VALUE"
            raise ConfigError(f"{text[:100]!r} {why}.", where=where)
        found[name] = value
    return found


def show(thing: object) -> None:
    """`thing` as JSON on standard output."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(thing), indent=2).decode()
    with until_the_reader_leaves():
        sys.stdout.write(text + "\n")


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], nothing: str) -> None:
    """Rows under titles, as wide as they must be; `nothing` when there are none."""
    lines = [["-" if cell is None else harmless(str(cell)) for cell in row] for row in rows]
    with until_the_reader_leaves():
        if not lines:
            sys.stdout.write(nothing + "\n")
            return
        widths = [max(map(len, column)) for column in zip(titles, *lines, strict=True)]
        for line in [list(titles), *lines]:
            sys.stdout.write("  ".join(map(str.ljust, line, widths)).rstrip() + "\n")


def when(at: float | None) -> str | None:
    """A time in UTC, to the minute."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
