"""`tidyllm route`: which route a prompt would take and why; learning a policy, and drawing it. It asks no model."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.routing import Selector

__all__ = ["app"]


class _OrPrompt(TyperGroup):
    """`tidyllm route "a prompt"` is short for `tidyllm route explain "a prompt"`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["explain", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help='Choose a route: `tidyllm route "PROMPT"` explains a choice; learn a policy from outcomes, and draw it.',
    cls=_OrPrompt,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="FILE", help="Default: ./tidyllm.yaml if there is one."),
]
_Env = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Lay tidyllm.NAME.yaml over the file.")
]


@app.command()
def explain(  # noqa: PLR0917 - options of a command
    prompt: Annotated[str, typer.Argument(help="The prompt; '-' reads it from standard input.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Explain what this model of the configuration, which chooses, does."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="order, weight, price, latency or learned. Default: learned with --policy, else price."
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", metavar="FILE", help="A learned policy.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="The kind of task. Default: told from the prompt.")] = None,
    config: _Config = None,
    env: _Env = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the table of candidates with the reasons. (`explain` may be left out.)"""
    import msgspec

    from tidyllm.routing import TASKS

    text = _read(prompt)
    if task is not None and task not in TASKS:
        raise ConfigError(f"unknown task {task!r}; there are {', '.join(TASKS)}.")
    if model is not None and (by is not None or policy is not None):
        raise ConfigError("--model says how it chooses: --by and --policy do not go with it.")
    selector = _any(config, env, by, policy) if model is None else _configured(config, env, model)
    choice = selector.choose(text, task=task)
    if json:
        _say(msgspec.json.format(msgspec.json.encode(choice), indent=2).decode() + "\n")
        return
    rows = [
        ("→" if one.chosen else "", one.name, "yes" if one.eligible else "no", "; ".join(one.reasons))
        for one in choice.candidates
    ]
    signs = f" ({', '.join(choice.task_signs)})" if choice.task_signs else ""
    _say(
        harmless(f"task: {choice.task}{signs}\n")
        + _table(("", "route", "may be chosen", "reasons"), rows)
        + harmless(f"chosen: {choice.route}: {choice.why}\n")
    )


def _any(config: str | None, env: str | None, by: str | None, policy: str | None) -> Selector:
    """A choice among all routes that lead to models."""
    from tidyllm.cli.settings import chosen_settings
    from tidyllm.config import Routes
    from tidyllm.routing import Candidate, LearnedPolicy, Selector

    learned = None if policy is None else LearnedPolicy.load(policy)
    if learned is not None and config is None and not Path("tidyllm.yaml").exists():
        candidates = [Candidate(name=route) for route in learned.routes]
    else:
        settings = chosen_settings(config, env)
        routes = Routes(settings, only_shown=True).routes()
        leading = [route for route in routes if settings.models[route.name].choose is None]
        candidates = [Candidate(name=route.name, info=route.targets[0].info) for route in leading]
    way: Any = by or ("price" if learned is None else "learned")
    return Selector(candidates, by=way, policy=learned)


def _configured(config: str | None, env: str | None, name: str) -> Selector:
    """What chooses in the model `name` of the configuration."""
    from tidyllm.cli.settings import chosen_settings
    from tidyllm.config import Routes
    from tidyllm.config.ways import selector_of

    settings = chosen_settings(config, env)
    choosing = {one: model.choose for one, model in settings.models.items() if model.choose is not None}
    choose = choosing.get(name)
    if choose is None:
        raise ConfigError(
            f"{name!r} does not choose among models.",
            where="--model",
            hint=f"Those that do: {', '.join(choosing)}." if choosing else "No model has a section 'choose'.",
        )
    routes = {route.name: route for route in Routes(settings, only_shown=True).routes()}
    return selector_of(choose, routes, settings.providers)


@app.command()
def train(  # noqa: PLR0917 - options of a command
    file: Annotated[
        str | None,
        typer.Argument(metavar="[OUTCOMES]", help="JSON lines: prompt, quality by route, cost_usd, group."),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help="Where the policy goes.")
    ] = "policy.json",
    cost: Annotated[
        list[str] | None,
        typer.Option("--cost", metavar="ROUTE=DOLLARS", help="What a call costs; may be repeated."),
    ] = None,
    safe: Annotated[
        str | None,
        typer.Option(help="The route for unfamiliar prompts. Default: the one with the best quality."),
    ] = None,
    quality: Annotated[
        float | None, typer.Option(help="Keep this share of the safe route's quality. Default: 0.99.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="Send this share of calls to the dearest route.")
    ] = None,
    from_store: Annotated[
        bool,
        typer.Option("--feedback", help="Learn from the feedback in the store, beside OUTCOMES or alone."),
    ] = False,
    store: Annotated[
        str | None, typer.Option("--store", "-s", metavar="URL", help="Default: the default store.")
    ] = None,
) -> None:
    """Learn a policy from outcomes, and say what it is worth."""
    from tidyllm.routing import LearnedPolicy, Outcomes, read_outcomes, recorded_outcomes
    from tidyllm.routing.report import summary

    if file is None and not from_store:
        raise ConfigError(
            "there is nothing to learn from.", hint="Name a file of outcomes, or pass --feedback."
        )
    costs = dict(_cost(each) for each in cost or ())
    folder = Path(out).parent
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {str(folder)!r} to write the policy to.")
    if from_store:
        from tidyllm.cli.settings import chosen_store
        from tidyllm.store import Store

        opened = Store.open(chosen_store(store), create=False)
        try:
            rows = recorded_outcomes(opened)
        finally:
            opened.close()
        if file is not None:
            rows = [*read_outcomes(file, costs=costs).rows, *rows]
        outcomes = Outcomes(rows, costs=costs, where=file or opened.name)
    else:
        outcomes = read_outcomes(file or "", costs=costs)
    policy = LearnedPolicy.train(outcomes, safe=safe, quality=quality, share=share)
    policy.save(out)
    _say(summary(policy) + f"\nwritten to {out}\n")


@app.command()
def report(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="What `tidyllm route train` wrote.")
    ] = "policy.json",
    png: Annotated[str | None, typer.Option("--png", metavar="FILE", help="Draw a picture, too.")] = None,
    quality: Annotated[
        float | None, typer.Option(help="Show the point for this share of the safe quality.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="Show the point for this share of the dearest route.")
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep that point in the policy's file.")] = False,
) -> None:
    """Draw cost against quality: the policy, chance, hindsight and the chosen point."""
    from tidyllm.routing import LearnedPolicy
    from tidyllm.routing.report import draw_png, draw_text, summary

    if quality is not None and share is not None:
        raise ConfigError("a policy has one point: pass --quality or --share, not both.")
    learned = LearnedPolicy.load(policy)
    if quality is not None:
        learned = learned.for_quality(quality)
    elif share is not None:
        learned = learned.for_share(share)
    if png is not None:
        draw_png(learned, png)
    if save:
        learned.save(policy)
    _say(draw_text(learned) + "\n" + summary(learned))


def _read(prompt: str) -> str:
    try:
        if prompt == "-":
            prompt = sys.stdin.buffer.read().decode()
        prompt.encode()
    except UnicodeError as error:
        raise ConfigError("the prompt is not text in UTF-8.") from error
    if not prompt.strip():
        raise ConfigError("the prompt is empty.")
    return prompt


def _cost(text: str) -> tuple[str, float]:
    route, _, dollars = text.rpartition("=")
    try:
        return route, float(dollars)
    except ValueError:
        raise ConfigError(f"--cost {text!r} is not ROUTE=DOLLARS, such as fast=0.0002.") from None


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(harmless, row))
    text = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    Console(file=text, width=width, color_system=None, highlight=False, markup=False, emoji=False).print(
        table
    )
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _say(text: str) -> None:
    with until_the_reader_leaves():
        sys.stdout.write(text)
