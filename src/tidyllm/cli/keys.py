"""`tidyllm keys`: the acts on virtual keys, and the log of all acts. It parses, calls `access`, prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tidyllm.cli.acting import (
    AsJson,
    Json,
    StoreURL,
    acting,
    asked,
    changed,
    me,
    pairs,
    seconds,
    show,
    table,
    when,
)
from tidyllm.cli.output import until_the_reader_leaves
from tidyllm.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from tidyllm.access import Key

__all__ = ["app"]

app = typer.Typer(
    help="Virtual keys: who may call, with what, how much.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Id = Annotated[str, typer.Argument(metavar="ID", help="As `tidyllm keys list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    *,
    team: Annotated[str | None, typer.Option(help="Its team, which must be there.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whom to ask about it.")] = None,
    role: Annotated[
        str | None, typer.Option(help="viewer, operator or admin: it also opens the admin API.")
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="30d, 12h, … from now on.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Allowed model, * for any characters; may be repeated.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="Allowed path, /v1/* for all below; may be repeated.")
    ] = None,
    ip: Annotated[
        list[str] | None, typer.Option(help="Allowed address or network, 10.0.0.0/8; may be repeated.")
    ] = None,
    rpm: Annotated[str | None, typer.Option(help="Requests per minute.")] = None,
    tpm: Annotated[str | None, typer.Option(help="Tokens per minute.")] = None,
    concurrency: Annotated[str | None, typer.Option(help="Calls at once.")] = None,
    limit_usd: Annotated[str | None, typer.Option(help="Budget in US dollars.")] = None,
    window: Annotated[
        str | None, typer.Option(help="What the budget spans: none, day, week, month, rolling:SECONDS.")
    ] = None,
    soft_usd: Annotated[str | None, typer.Option(help="From where on the budget warns.")] = None,
    require_tag: Annotated[
        list[str] | None, typer.Option(help="Tag that each request must have; may be repeated.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Tag of each request; may be repeated.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with the key; may be repeated.")
    ] = None,
    store: StoreURL = None,
    json: Json = False,
) -> None:
    """Make a key. Its secret is shown this once: only a hash of it is kept."""
    from tidyllm.access import Keys, KeySpec

    spec = asked(
        KeySpec,
        {
            "name": name,
            "team": team,
            "owner": owner,
            "role": role,
            "expires_in_seconds": seconds(expires, "expires"),
            "models": model,
            "endpoints": endpoint,
            "ips": ip,
            "requests_per_minute": rpm,
            "tokens_per_minute": tpm,
            "concurrency": concurrency,
            "limit_usd": limit_usd,
            "window": window,
            "soft_usd": soft_usd,
            "required_tags": require_tag,
            "tags": pairs(tag or [], "tag"),
            "metadata": pairs(metadata or [], "metadata"),
        },
    )
    key, secret = acting(store, lambda opened: Keys(opened).create(spec, by=me()))
    _told(key, secret, json)


@app.command("list")
def list_(
    *,
    team: Annotated[str | None, typer.Option(help="Only of this team.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    state: Annotated[str | None, typer.Option(help="Only active, expired or revoked ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    store: StoreURL = None,
    json: Json = False,
) -> None:
    """Show keys; never their secrets."""
    from tidyllm import clock
    from tidyllm.access import Keys
    from tidyllm.access.key import plain

    if state not in (None, "active", "expired", "revoked"):
        raise ConfigError(f"{state[:100]!r} is not active, expired or revoked.", where="state")
    _clean(team, "team")
    _clean(owner, "owner")
    found = acting(store, lambda opened: Keys(opened).list(team=team, owner=owner, state=state, limit=limit))
    if json:
        show([plain(key) for key in found])
        return
    now = clock.now()
    titles = ("id", "name", "secret", "team", "owner", "role", "state", "created", "expires")
    rows = [
        (
            key.id,
            key.name,
            f"{key.prefix}…",
            key.team,
            key.owner,
            key.role and key.role.value,
            key.state(now),
            when(key.created_at),
            when(key.expires_at),
        )
        for key in found
    ]
    table(titles, rows, "There are no such keys.")


@app.command("show")
def show_(key_id: _Id, store: StoreURL = None, json: AsJson = True) -> None:
    """Show one key with all of its limits, as JSON."""
    from tidyllm.access import Keys
    from tidyllm.access.key import plain

    show(plain(acting(store, lambda opened: Keys(opened).show(key_id))))


@app.command()
def update(
    key_id: _Id,
    change: Annotated[str, typer.Argument(help="""What shall be different: '{"concurrency": 5}'.""")],
    store: StoreURL = None,
) -> None:
    """Change a key; what is left out stays as it is, null takes a limit away."""
    from tidyllm.access import KeyChange, Keys
    from tidyllm.access.key import plain

    told = changed(KeyChange, change)
    show(plain(acting(store, lambda opened: Keys(opened).update(key_id, told, by=me()))))


@app.command()
def rotate(
    key_id: _Id,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long the old secret stays good: 1h, 2d. Default: 0."),
    ] = None,
    store: StoreURL = None,
    json: Json = False,
) -> None:
    """Give a key a new secret."""
    from tidyllm.access import Keys

    length = seconds(overlap, "overlap") or 0
    key, secret = acting(store, lambda opened: Keys(opened).rotate(key_id, by=me(), overlap_seconds=length))
    _told(key, secret, json)


@app.command()
def revoke(key_id: _Id, store: StoreURL = None) -> None:
    """Let a key open nothing any more, in every running gateway within a second."""
    from tidyllm.access import Keys

    key = acting(store, lambda opened: Keys(opened).revoke(key_id, by=me()))
    _say(f"{key.id} is revoked since {when(key.revoked_at)} UTC.\n")


@app.command()
def log(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    subject: Annotated[str | None, typer.Option(help="Only of this: key:ID, team:NAME.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Follow the chain of hashes instead.")] = False,
    store: StoreURL = None,
    json: Json = False,
) -> None:
    """Show who did what, the newest first."""
    from tidyllm.access import AuditLog

    if verify:
        chain = acting(store, lambda opened: AuditLog(opened).verify())
        if chain.broken is not None:
            raise StoreError(f"the audit log was changed: {chain.broken}.", hint="Compare it with a backup.")
        _say(f"{chain.rows:,} rows, each as it was written. The newest has the hash {chain.head}.\n")
        return
    _clean(subject, "subject")
    entries = acting(store, lambda opened: AuditLog(opened).list(limit=limit, subject=subject))
    if json:
        show(entries)
        return
    rows = [
        (one.seq, when(one.at), f"{one.actor} ({one.actor_kind})", one.act, one.subject) for one in entries
    ]
    table(("", "when", "who", "did", "to"), rows, "Nothing was done so far.")


def _told(key: Key, secret: str, json: bool) -> None:
    from tidyllm.access.key import plain

    if json:
        show({"key": plain(key), "secret": secret})
        return
    _say(f"id      {key.id}\nsecret  {secret}\n")
    sys.stderr.write("Keep the secret now: it is not shown again.\n")


def _say(text: str) -> None:
    with until_the_reader_leaves():
        sys.stdout.write(text)


def _clean(text: str | None, where: str) -> None:
    """What no name has is not looked for: Postgres would refuse to."""
    if text is not None and not text.isprintable():
        raise ConfigError(f"{text[:100]!r} must be one line.", where=where)
