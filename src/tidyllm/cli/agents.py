"""`tidyllm agents`: teams that work on a project, and what they left behind. It loads no agent before it must."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tidyllm.cli.acting import Json, StoreURL
from tidyllm.cli.output import harmless, until_the_reader_leaves

__all__ = ["app"]

app = typer.Typer(
    help="Teams of agents: let them work on a project, take back what they did, see their prompts.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")]


@app.command()
def run(
    *,
    project: Annotated[
        str, typer.Option("--project", "-p", metavar="DIR", help="The folder they work in, and nowhere else.")
    ],
    goal: Annotated[str, typer.Option("--goal", "-g", metavar="TEXT", help="What shall be true at the end.")],
    check: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help='Passes when the goal is reached, such as "pytest -q". Without it: exit status 3.',
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A route of the configuration, or kind/model. Default: the first."
        ),
    ] = None,
    orchestrated: Annotated[
        bool | None,
        typer.Option(
            "--orchestrated/--traditional",
            help="An arbiter decides what comes next, or a fixed order does. "
            "Default: $USE_ORCHESTRATION, else `orchestration` of the configuration, else orchestrated.",
            show_default=False,
        ),
    ] = None,
    max_usd: Annotated[
        str | None, typer.Option(metavar="USD", help="Dollars for all of it, or none. Default: 2.")
    ] = None,
    max_turns: Annotated[int | None, typer.Option(min=1, help="Model calls. Default: 300.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens in and out. Default: no cap.")] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds of work; waiting for you does not count. Default: 7200."),
    ] = None,
    protect: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="They may not change these either. May be given again."),
    ] = None,
    allow_tests: Annotated[
        bool, typer.Option("--allow-tests", help="They may change existing tests and pytest's configuration.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Answer all that they ask with yes.")] = False,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="Ask me before commands, moves and deletions, and what they want to know."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what happens as lines of JSON.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Start afresh, whatever is unfinished.")] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Leave the tree as it is then, also if they fail and no more tests pass than before.",
        ),
    ] = False,
    allow_unsandboxed: Annotated[
        bool,
        typer.Option(
            "--allow-unsandboxed", help="Run commands with my own rights where there is no sandbox."
        ),
    ] = False,
    state: Annotated[
        str | None, typer.Option(metavar="FILE", help="Begin with a state that `agents export` wrote.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="Default: ./tidyllm.yaml, else the environment."),
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="Lay tidyllm.NAME.yaml over the file.")
    ] = None,
    url: StoreURL = None,
) -> None:
    """Let a team plan, code, review, test and debug until the goal is reached or there is a reason to stop.

    The run is recorded: after a crash the same command line goes on with it, and pays for no recorded call twice.

    Exit status: 0 the check passes at the end; 1 it does not, or something else went wrong; 2 wrong usage;
    3 finished, but there was no check; 130 interrupted.
    """
    from tidyllm.cli.agents_order import Order
    from tidyllm.cli.agents_run import Talk
    from tidyllm.cli.agents_run import run as work

    order = Order(
        project=project,
        goal=goal,
        orchestrated=orchestrated,
        model=model,
        max_usd=max_usd,
        max_turns=max_turns,
        max_seconds=max_seconds,
        max_tokens=max_tokens,
        check=check,
        protect=tuple(protect or ()),
        allow_tests=allow_tests,
        allow_unsandboxed=allow_unsandboxed,
        ask=ask,
        state=state,
        config=config,
        env=env,
    )
    raise typer.Exit(work(order, Talk(yes=yes, ask=ask, as_json=json, afresh=new, keep=keep, store=url)))


@app.command()
def undo(
    run: RunId,
    project: Annotated[
        str | None,
        typer.Option("--project", "-p", metavar="DIR", help="Where it worked, if that is not known."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where somebody else has changed a file since.")
    ] = False,
    url: StoreURL = None,
) -> None:
    """Put everything that a run changed back as it was, to the byte."""
    from tidyllm.cli.agents_undo import undo as take_back

    take_back(run, project, url, force=force)


@app.command("list")
def list_(url: StoreURL = None, json: Json = False) -> None:
    """List runs of agents, the latest first."""
    from tidyllm.cli.agents_undo import list_runs

    list_runs(url, as_json=json)


@app.command("show")
def show_(run: RunId, url: StoreURL = None, json: Json = False) -> None:
    """Show tasks, decisions and figures of a run that is over."""
    from tidyllm.cli.agents_undo import show_run

    show_run(run, url, as_json=json)


@app.command()
def export(run: RunId, url: StoreURL = None) -> None:
    """Print the state of a run that is over as JSON: for `agents run --state`, or for programs."""
    from tidyllm.cli.agents_undo import export as write

    write(run, url)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `agents export` wrote.")],
    *,
    project: Annotated[
        str, typer.Option("--project", "-p", metavar="DIR", help="The project that it is meant for.")
    ],
    goal: Annotated[
        str | None, typer.Option("--goal", "-g", metavar="TEXT", help="Default: the goal in the file.")
    ] = None,
) -> None:
    """Let the next run of a goal in a project begin with a state: its tasks, decisions and conversation."""
    from tidyllm.cli.agents_import import run as take

    take(file, project, goal)


@app.command()
def prompt(
    phase: Annotated[
        str, typer.Argument(help="planning, coding, review, testing, debugging or documentation.")
    ],
    kind: Annotated[str | None, typer.Option(help="coding, reasoning or analysis.")] = None,
    complexity: Annotated[str | None, typer.Option(help="simple, normal or complex.")] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Fit it into so many tokens. Default: all of it.")
    ] = None,
) -> None:
    """Print the instructions that agents get in a phase; what was left out for want of room goes to standard error."""
    from tidyllm.agents import PromptBuilder

    built = PromptBuilder.default().build(phase, kind, complexity, budget_tokens=tokens)
    with until_the_reader_leaves():
        sys.stdout.write(harmless(built.text) + "\n")
    left = f"; left out: {', '.join(built.left_out)}" if built.left_out else ""
    sys.stderr.write(f"{built.tokens:,} tokens{left}\n")
