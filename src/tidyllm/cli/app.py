"""The command line: its commands and how failures look. Each command lives in a file of its own name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidyllm.cli import agents, keys, migrate, requests, route, runs, spend, store, teams, worker
from tidyllm.cli.output import forgiving, give_up, harmless
from tidyllm.errors import ConfigError, TidyllmError
from tidyllm.errors.extras import missing

__all__ = ["app", "main"]

app = typer.Typer(
    name="tidyllm",
    help="The production layer for LLM programs: reliable, bounded in cost, visible, whichever model answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(store.app, name="store")
app.add_typer(runs.app, name="runs")
app.command()(worker.worker)
app.add_typer(spend.app, name="spend")
app.add_typer(requests.app, name="requests")
app.add_typer(migrate.app, name="migrate")
app.add_typer(agents.app, name="agents")
app.add_typer(route.app, name="route")
app.add_typer(keys.app, name="keys")
app.add_typer(teams.teams, name="teams")
app.add_typer(teams.organisations, name="organisations")


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        typer.echo(f"tidyllm {version('tidyllm')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


Config = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Default: ./tidyllm.yaml if it is there, else the environment."
    ),
]
Env = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Lay tidyllm.NAME.yaml over the file.")
]


@app.command()
def serve(
    config: Config = None,
    env: Env = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Default: 8400; 0 takes a free one.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that answer. Default: 1.")] = None,
) -> None:
    """Run the gateway: OpenAI and Anthropic clients in, any configured model out."""
    from tidyllm.cli.serve import run

    run(config, env, host, port, workers)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question; '-' reads it from standard input.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A route of the configuration, or kind/model. Default: the first."
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", help="Instruction in front of the question.")
    ] = None,
    config: Config = None,
    env: Env = None,
) -> None:
    """Ask a model and stream its answer; tokens and cost stand on the last line."""
    from tidyllm.cli.ask import run

    run(question, model, system, config, env)


@app.command()
def chat(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A route of the configuration, or kind/model. Default: the first, or the chat's own.",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option("--resume", "-r", metavar="ID", help="Go on with this chat; 'last': the latest."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", "-l", help="List saved chats and leave.")] = False,
    system: Annotated[
        str | None, typer.Option("--system", "-s", help="Instruction in front of the chat.")
    ] = None,
    *,
    config: Config = None,
    env: Env = None,
) -> None:
    """Talk with a model in the terminal. The chat is saved; /help lists what else can be typed."""
    from tidyllm.cli.chat import run

    run(model, resume, system, config, env, show_list=show_list)


@app.command()
def generate(
    task: Annotated[str, typer.Argument(help="What the function shall do.")],
    *,
    review: Annotated[
        bool, typer.Option("--review", help="Have it reviewed, and revised where that matters.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A route of the configuration, or kind/model. Default: the first."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE.py", help="Write it there, and its tests beside it."),
    ] = None,
    max_usd: Annotated[
        str | None, typer.Option(metavar="USD", help="Dollars for all of it, or none. Default: 2.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    allow_unsandboxed: Annotated[
        bool,
        typer.Option("--allow-unsandboxed", help="Run tests with my own rights where there is no sandbox."),
    ] = False,
    config: Config = None,
    env: Env = None,
) -> None:
    """Write one Python function with tests, run them in a sandbox, and print both.

    Exit status: 0 the tests pass; 1 they fail, or there is no code; 2 wrong usage; 3 they could not run.
    """
    from tidyllm.cli.generate import Asked, run

    raise typer.Exit(
        run(
            Asked(
                task=task,
                review=review,
                model=model,
                out=out,
                max_usd=max_usd,
                as_json=json,
                allow_unsandboxed=allow_unsandboxed,
                config=config,
                env=env,
            )
        )
    )


@app.command()
def models(
    config: Config = None,
    env: Env = None,
    catalog: Annotated[
        bool, typer.Option("--catalog", help="Show all models of the catalogue instead.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the models that can be asked, where they lead, and what they cost."""
    from tidyllm.cli.models import run

    run(config, env, catalog=catalog, as_json=json)


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The configuration to check.")] = "tidyllm.yaml",
    env: Env = None,
) -> None:
    """Check a configuration offline: every problem with its line and what was probably meant."""
    from tidyllm.cli.check import run

    run(file, env)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 it failed, 2 wrong usage or configuration, 130 interrupted."""
    forgiving()
    try:
        app()
    except ConfigError as error:
        _complain(error)
        sys.exit(2)
    except TidyllmError as error:
        _complain(error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        said = missing(error)
        if said is None:
            raise
        _complain(said)
        sys.exit(2)
    except OSError as error:  # files that are read say so in errors of ours: this is the output
        give_up()
        sys.stderr.write(f"tidyllm: writing failed: {error.strerror or error}.\n")
        sys.exit(1)
    except KeyboardInterrupt:  # before a command began, or after it ended
        sys.exit(130)


def _complain(error: TidyllmError) -> None:
    sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
