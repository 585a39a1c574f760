"""`tidyllm requests show ID`: what the ledger knows of one request. No content: there is none."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidyllm.cli.acting import Json, StoreURL
from tidyllm.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(
    help="Look up what became of a request: attempts, route, errors, tokens, cost.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _requests() -> None:
    """Look up what became of a request."""


@app.command()
def show(
    request: Annotated[
        str, typer.Argument(metavar="ID", help="As in the header x-request-id of the answer, and in logs.")
    ],
    store: StoreURL = None,
    json: Json = False,
) -> None:
    """Print each attempt of a request, what it cost, and what a cache gave."""
    import datetime as dt

    import msgspec

    from tidyllm.cli.output import harmless, until_the_reader_leaves
    from tidyllm.cli.settings import chosen_store
    from tidyllm.money.requests import request_report
    from tidyllm.store import Store

    books = Store.open(chosen_store(store), create=False)
    try:
        report = books.read_sync(lambda connection: request_report(connection, request))
    finally:
        books.close()
    if report is None:
        raise ConfigError(
            f"the ledger of {books.name} has no request {request}.",
            where="id",
            hint="A request is written down when its first attempt is made; one that was refused before has none.",
        )
    with until_the_reader_leaves():
        if json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
            return
        whose = [f"{what} {value}" for what, value in (("key", report.key), ("team", report.team)) if value]
        tags = " ".join(f"{key}={value}" for key, value in sorted(report.tags.items()))
        lines = [f"request  {report.id}", f"route    {report.route or '(none)'}"]
        lines += [f"of       {', '.join(whose)}"] if whose else []
        lines += [f"tags     {tags}"] if tags else []
        for number, one in enumerate(report.attempts, 1):
            at = dt.datetime.fromtimestamp(one.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
            facts = [at, f"{one.target or '?'}/{one.model or '?'}", one.state]
            facts += [f"{one.seconds:.3f} s"] if one.seconds is not None else []
            facts += [f"status {one.status}"] if one.status is not None else []
            facts += [one.error] if one.error else []
            if one.input_tokens is not None or one.output_tokens is not None:
                facts.append(f"{one.input_tokens or 0} tokens in, {one.output_tokens or 0} out")
            facts += [f"${one.cost_usd:f}"] if one.cost_usd is not None else []
            facts += [f"saved ${one.saved_usd:f}"] if one.saved_usd is not None else []
            if one.provider_saved_usd is not None:
                facts.append(f"provider cache saved ${one.provider_saved_usd:f}")
            lines.append(f"{number:<8} {'  '.join(facts)}")
        lines.append(f"cost     ${report.cost_usd:f}")
        sys.stdout.write("".join(f"{harmless(line)}\n" for line in lines))
