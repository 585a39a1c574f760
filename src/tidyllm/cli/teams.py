"""`tidyllm teams` and `tidyllm organisations`: the acts on them. It parses, calls `access`, prints."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidyllm.cli.acting import AsJson, Json, StoreURL, acting, asked, changed, me, pairs, show, table
from tidyllm.cli.output import until_the_reader_leaves

__all__ = ["organisations", "teams"]

_HELP = {"help_option_names": ["-h", "--help"]}
teams = typer.Typer(
    help="Teams: keys under one budget and shared limits.", no_args_is_help=True, context_settings=_HELP
)
organisations = typer.Typer(
    help="Organisations: teams under one budget.", no_args_is_help=True, context_settings=_HELP
)

_Name = Annotated[str, typer.Argument(help="Letters, digits, '.', '_', '-'; it cannot be changed later.")]
_Change = Annotated[str, typer.Argument(help="""What shall be different: '{"limit_usd": 100}'.""")]
_Limit = Annotated[str | None, typer.Option(help="Budget in US dollars.")]
_Window = Annotated[
    str | None, typer.Option(help="What the budget spans: none, day, week, month, rolling:SECONDS.")
]
_Soft = Annotated[str | None, typer.Option(help="From where on the budget warns.")]
_Metadata = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept with it; may be repeated.")
]


@teams.command("create")
def create_team(
    name: _Name,
    *,
    organisation: Annotated[str | None, typer.Option(help="Its organisation, which must be there.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Allowed model, * for any characters; may be repeated.")
    ] = None,
    rpm: Annotated[str | None, typer.Option(help="Requests per minute, of all its keys together.")] = None,
    tpm: Annotated[str | None, typer.Option(help="Tokens per minute, of all its keys together.")] = None,
    concurrency: Annotated[str | None, typer.Option(help="Calls at once, of all its keys together.")] = None,
    limit_usd: _Limit = None,
    window: _Window = None,
    soft_usd: _Soft = None,
    metadata: _Metadata = None,
    store: StoreURL = None,
) -> None:
    """Make a team."""
    from tidyllm.access import Teams, TeamSpec
    from tidyllm.access.key import plain

    spec = asked(
        TeamSpec,
        {
            "name": name,
            "organisation": organisation,
            "models": model,
            "requests_per_minute": rpm,
            "tokens_per_minute": tpm,
            "concurrency": concurrency,
            "limit_usd": limit_usd,
            "window": window,
            "soft_usd": soft_usd,
            "metadata": pairs(metadata or [], "metadata"),
        },
    )
    show(plain(acting(store, lambda opened: Teams(opened).create(spec, by=me()))))


@teams.command("list")
def list_teams(store: StoreURL = None, json: Json = False) -> None:
    """Show all teams."""
    from tidyllm.access import Teams
    from tidyllm.access.key import plain

    found = acting(store, lambda opened: Teams(opened).list())
    if json:
        show([plain(team) for team in found])
        return
    titles = ("team", "organisation", "$ limit", "window", "rpm", "tpm", "at once")
    rows = [
        (
            one.name,
            one.organisation,
            one.limit_usd,
            one.window,
            one.requests_per_minute,
            one.tokens_per_minute,
            one.concurrency,
        )
        for one in found
    ]
    table(titles, rows, "There are no teams.")


@teams.command("show")
def show_team(name: _Name, store: StoreURL = None, json: AsJson = True) -> None:
    """Show one team, as JSON."""
    from tidyllm.access import Teams
    from tidyllm.access.key import plain

    show(plain(acting(store, lambda opened: Teams(opened).show(name))))


@teams.command("update")
def update_team(name: _Name, change: _Change, store: StoreURL = None) -> None:
    """Change a team; what is left out stays as it is, null takes a limit away."""
    from tidyllm.access import TeamChange, Teams
    from tidyllm.access.key import plain

    told = changed(TeamChange, change)
    show(plain(acting(store, lambda opened: Teams(opened).update(name, told, by=me()))))


@teams.command("delete")
def delete_team(name: _Name, store: StoreURL = None) -> None:
    """Delete a team that has no keys."""
    from tidyllm.access import Teams

    acting(store, lambda opened: Teams(opened).delete(name, by=me()))
    _gone(name)


@organisations.command("create")
def create_organisation(
    name: _Name,
    *,
    limit_usd: _Limit = None,
    window: _Window = None,
    soft_usd: _Soft = None,
    metadata: _Metadata = None,
    store: StoreURL = None,
) -> None:
    """Make an organisation."""
    from tidyllm.access import Organisations, OrganisationSpec
    from tidyllm.access.key import plain

    values = {"name": name, "limit_usd": limit_usd, "window": window, "soft_usd": soft_usd}
    spec = asked(OrganisationSpec, {**values, "metadata": pairs(metadata or [], "metadata")})
    show(plain(acting(store, lambda opened: Organisations(opened).create(spec, by=me()))))


@organisations.command("list")
def list_organisations(store: StoreURL = None, json: Json = False) -> None:
    """Show all organisations."""
    from tidyllm.access import Organisations
    from tidyllm.access.key import plain

    found = acting(store, lambda opened: Organisations(opened).list())
    if json:
        show([plain(one) for one in found])
        return
    rows = [(one.name, one.limit_usd, one.window) for one in found]
    table(("organisation", "$ limit", "window"), rows, "There are no organisations.")


@organisations.command("show")
def show_organisation(name: _Name, store: StoreURL = None, json: AsJson = True) -> None:
    """Show one organisation, as JSON."""
    from tidyllm.access import Organisations
    from tidyllm.access.key import plain

    show(plain(acting(store, lambda opened: Organisations(opened).show(name))))


@organisations.command("update")
def update_organisation(name: _Name, change: _Change, store: StoreURL = None) -> None:
    """Change an organisation; what is left out stays as it is, null takes a limit away."""
    from tidyllm.access import OrganisationChange, Organisations
    from tidyllm.access.key import plain

    told = changed(OrganisationChange, change)
    show(plain(acting(store, lambda opened: Organisations(opened).update(name, told, by=me()))))


@organisations.command("delete")
def delete_organisation(name: _Name, store: StoreURL = None) -> None:
    """Delete an organisation that has no teams."""
    from tidyllm.access import Organisations

    acting(store, lambda opened: Organisations(opened).delete(name, by=me()))
    _gone(name)


def _gone(name: str) -> None:
    with until_the_reader_leaves():
        sys.stdout.write(f"{name} is deleted.\n")
