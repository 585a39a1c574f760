"""`tidyllm migrate`: moving code to this library. It draws what the codemods say; they know nothing of terminals."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tidyllm.cli.migrate_view import diff_line, left_out, many, print_json, say, summary, table, terminal
from tidyllm.cli.output import harmless, until_the_reader_leaves

if TYPE_CHECKING:
    from collections.abc import Generator

    from tidyllm.migrate import Plan

__all__ = ["app"]


class _PlanFirst(TyperGroup):
    """`tidyllm migrate PATH` is `tidyllm migrate plan PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "" in args:
            ctx.fail("An empty text is no path; '.' is the folder you are in.")
        first = args[0] if args else ""
        near = difflib.get_close_matches(first, self.commands, 1)
        if near and first not in self.commands and not Path(first).exists():
            ctx.fail(f"There is no command or path {first!r}. Did you mean {near[0]!r}?")
        if args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = ["plan", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        from tidyllm.errors.extras import installed

        with installed():
            import_module("libcst")  # without it the codemods cannot be loaded
        return super().invoke(ctx)


app = typer.Typer(
    cls=_PlanFirst,
    help="Move code to this library: see the diff, apply it, check it, take it back.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Where = Annotated[
    Path, typer.Argument(metavar="PATH", help="A file, or a folder with Python files and notebooks.")
]
_Patterns = Annotated[
    list[str] | None,
    typer.Option("--pattern", "-p", metavar="NAME", help="Only this one; may be repeated. Default: all."),
]
_Rules = Annotated[
    Path | None,
    typer.Option("--rules", metavar="FILE", help="TOML with names of your own beside the known ones."),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Annotate = Annotated[
    bool, typer.Option("--annotate", help="Put a comment above each use that could not be converted.")
]


@app.command()
def scan(path: _Where, pattern: _Patterns = None, rules: _Rules = None, json: _JSON = False) -> None:
    """List every use of a legacy name: file, line, pattern, and whether it can be converted."""
    with _errors():
        _heal(path)
        plan = _plan(path, pattern, rules)
        if json:
            print_json(table(plan, diffs=False))
            return
        with until_the_reader_leaves():
            console = terminal()
            for one in plan.results:
                for finding in one.findings:
                    sign = "can" if finding.kind == "converted" else "cannot"
                    place = f"{one.path}:{f'cell {finding.cell}:' if finding.cell else ''}{finding.line}"
                    reason = f" ({finding.reason})" if finding.reason else ""
                    say(console, f"{place}: {finding.name} [{finding.pattern}] {sign} be converted{reason}")
            left_out(console, plan)
            say(
                console,
                f"{many(len(plan.converted), 'use')} can be converted, {len(plan.could_not)} cannot, in "
                f"{many(sum(bool(one.findings) for one in plan.results), 'file')} of {len(plan.results)}.",
            )


@app.command()
def plan(
    path: _Where,
    pattern: _Patterns = None,
    rules: _Rules = None,
    annotate: _Annotate = False,
    json: _JSON = False,
) -> None:
    """Show the diff and a report; nothing is written. This is what `tidyllm migrate PATH` does."""
    with _errors():
        _heal(path)
        ready = _plan(path, pattern, rules, annotate=annotate)
        if json:
            print_json(table(ready, diffs=True))
            return
        with until_the_reader_leaves():
            console = terminal()
            for one in ready.changed:
                for line in ready.diff(one):
                    diff_line(console, line)
            summary(console, ready)


@app.command()
def apply(
    path: _Where,
    *,
    pattern: _Patterns = None,
    rules: _Rules = None,
    check: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND", help='Run it before and after ("pytest -q"): a new failure takes all back.'
        ),
    ] = None,
    check_timeout: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Give the check this long. Default: any time."),
    ] = None,
    annotate: _Annotate = False,
    json: _JSON = False,
) -> None:
    """Write all changes, or none. Exit status 1 when the check failed and everything was taken back."""
    from tidyllm.migrate import apply as carry_out

    with _errors():
        _heal(path)
        ready = _plan(path, pattern, rules, annotate=annotate)
        done = carry_out(ready, check, check_timeout)
        if json:
            told = {"run": done.run, "files": list(done.files), "failures": list(done.failures)}
            print_json({**table(ready, diffs=False), "applied": told})
        else:
            with until_the_reader_leaves():
                console = terminal()
                summary(console, ready)
                if not done.files:
                    say(console, "Nothing was to be done.")
                elif not done.failures:
                    again = f"tidyllm migrate rollback {path}"
                    say(
                        console,
                        f"Applied to {many(len(done.files), 'file')} (run {done.run}). Take it back: {again}",
                    )
        if done.failures:
            for failure in done.failures:
                sys.stderr.write(f"tidyllm: {harmless(failure)}\n")
            if done.after is not None and done.after.tail:
                sys.stderr.write(f"{harmless(done.after.tail)}\n")
            sys.stderr.write("tidyllm: the check found something new; every file is as before.\n")
            raise typer.Exit(1)


@app.command()
def validate(path: _Where, pattern: _Patterns = None, rules: _Rules = None, json: _JSON = False) -> None:
    """Only read: does all parse and compile, do imports resolve, is no legacy name left? Status 1 when not."""
    from tidyllm.migrate import validate as look

    with _errors():
        _heal(path)
        flaws = look(path, _plan(path, pattern, rules))
        if json:
            print_json(
                {
                    "flaws": [
                        {"path": one.path, "line": one.line, "kind": one.kind, "text": one.text}
                        for one in flaws
                    ]
                }
            )
        else:
            with until_the_reader_leaves():
                console = terminal()
                for one in flaws:
                    say(console, f"{one.path}:{one.line}: {one.kind}: {one.text}")
                say(console, "All is well." if not flaws else f"{many(len(flaws), 'flaw')}.")
        if flaws:
            raise typer.Exit(1)


@app.command()
def rollback(path: _Where, json: _JSON = False) -> None:
    """Take the latest run back, to the byte. Refuses when a file has changed since."""
    from tidyllm.migrate import rollback as take_back

    with _errors():
        _heal(path)
        name, files = take_back(path)
        if json:
            print_json({"run": name, "files": files})
            return
        with until_the_reader_leaves():
            say(terminal(), f"Run {name} is taken back: {many(len(files), 'file')} as before.")


@app.command()
def cleanup(
    path: _Where,
    pattern: _Patterns = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the changes; otherwise they are only shown.")
    ] = False,
    json: _JSON = False,
) -> None:
    """Remove the last uses of `tidyllm.legacy`, the old names of a migration period."""
    from tidyllm.migrate import apply as carry_out

    with _errors():
        _heal(path)
        ready = _plan(path, pattern, None, only_legacy=True)
        done = carry_out(ready) if write else None
        if json:
            print_json(table(ready, diffs=not write))
            return
        with until_the_reader_leaves():
            console = terminal()
            if done is None:
                for one in ready.changed:
                    for line in ready.diff(one):
                        diff_line(console, line)
            summary(console, ready)
            left = len(ready.could_not)
            say(
                console,
                "tidyllm.legacy is not needed any more." if not left else f"{many(left, 'use')} left.",
            )


@app.command()
def report(
    path: _Where,
    *,
    pattern: _Patterns = None,
    rules: _Rules = None,
    model: Annotated[
        str, typer.Option(metavar="KIND/NAME", help="The model whose prices are used.")
    ] = "openai/gpt-5-mini",
    bench: Annotated[
        bool, typer.Option(help="Measure an old wrapper beside the new one on the offline model.")
    ] = True,
    json: _JSON = False,
) -> None:
    """Count before and after: lines, wrappers, call sites, dollars of retries that multiply, and time per call."""
    from tidyllm.cli.migrate_report import figures, lines

    with _errors():
        _heal(path)
        found = figures(_plan(path, pattern, rules), model, bench=bench)
        if json:
            print_json(found)
            return
        with until_the_reader_leaves():
            console = terminal()
            for line in lines(found):
                say(console, line)


# -- what they share


@contextmanager
def _errors() -> Generator[None]:
    """Errors of the codemods, as every command of ours shows its own."""
    from tidyllm.migrate import MigrateError, RulesError

    try:
        yield
    except RulesError as error:
        sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
        raise typer.Exit(2) from None
    except MigrateError as error:
        sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
        raise typer.Exit(1) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        sys.stderr.write(f"tidyllm: {harmless(str(error.filename or 'a file'))}: {error.strerror}.\n")
        raise typer.Exit(1) from None


def _heal(path: Path) -> None:
    from tidyllm.migrate import heal

    for said in heal(path):
        sys.stderr.write(f"tidyllm: {harmless(said)}\n")


def _plan(
    path: Path,
    patterns: Sequence[str] | None,
    rules: Path | None,
    *,
    annotate: bool = False,
    only_legacy: bool = False,
) -> Plan:
    from tidyllm.migrate import plan as make

    patterns = list(patterns or ())
    if not sys.stderr.isatty():
        return make(path, patterns, rules, annotate=annotate, only_legacy=only_legacy)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return make(path, patterns, rules, annotate=annotate, only_legacy=only_legacy, progress=show)
