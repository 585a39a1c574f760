"""The tools of a workspace: look, change, run. Each is a few words for the model around one method of `Workspace`.

It knows no path rules, no sandbox and no journal: those are the workspace's. What that refuses becomes a message.
Changes carry the call's own key: done again after a crash, they are recognised and not made twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidyllm.agents.agent_tool import AgentTool, tool
from tidyllm.agents.toolset import Toolset
from tidyllm.core.context import Context
from tidyllm.errors import BadToolCall

if TYPE_CHECKING:
    from tidyllm.sandbox import Change, CommandResult, Workspace

__all__ = ["workspace_tools"]

PYTEST = ("python", "-m", "pytest", "-q")
_LISTED = 60  # changed paths that a message names


def workspace_tools(workspace: Workspace, *, check: Sequence[str] | None = None) -> Toolset:
    """`list_files`, `read_file`, `search`, `write_file`, `edit_file`, `apply_diff`, `move_file`, `delete_file`,
    `run_tests` and `run_command`.

    - `check`: the command of `run_tests`, as words. Default: `python -m pytest -q`.

    A crash during a change or a test run leads to its repetition; one during `run_command` asks a person, for nobody
    knows what a command had done by then.
    """
    return Toolset(
        [*_looking(workspace), *_changing(workspace), *_running(workspace, tuple(check or PYTEST))]
    )


def _looking(ws: Workspace) -> list[AgentTool]:
    @tool(reads=True)
    def list_files(path: str = ".", depth: int = 2) -> str:
        """List files and folders; folders end with /. Start here to see what there is.

        Args:
            path: Folder to list, relative to the project.
            depth: How many levels of folders to show.
        """
        return "\n".join(ws.list(path, depth)) or f"{path} is empty."

    @tool(reads=True)
    def read_file(path: str, start: int = 1, lines: int | None = None) -> str:
        """Read a text file. Read a file before you change it. Of a long file read a part at a time.

        Args:
            path: File to read, relative to the project.
            start: Number of the first line to read; the first line is 1.
            lines: How many lines to read; leave it out to read to the end.
        """
        return ws.read(path, start, lines) or f"({path} has nothing there)"

    @tool(reads=True)
    def search(pattern: str, path: str = ".", regex: bool = False) -> str:
        """Find lines that hold a text. Answers as path:line: text.

        Args:
            pattern: The text to find, exactly, upper and lower case counting.
            path: File or folder to search in.
            regex: Take pattern as a Python regular expression.
        """
        found = ws.search(pattern, path, regex)
        return "\n".join(f"{one.path}:{one.line}: {one.text}" for one in found) or "Nothing found."

    return [list_files, read_file, search]


def _changing(ws: Workspace) -> list[AgentTool]:
    @tool
    def write_file(path: str, text: str, ctx: Context) -> str:
        """Create a file, or replace all of it. To change part of a file use edit_file. Python must parse.

        Args:
            path: File to write, relative to the project; missing folders are made.
            text: The whole new content.
        """
        return _done([ws.write(path, text, key=_key(ctx))])

    @tool
    def edit_file(path: str, old: str, new: str, ctx: Context) -> str:
        """Replace one piece of a file. Give enough of the lines around it that old stands in the file exactly once.

        Args:
            path: File to change, relative to the project.
            old: The piece as it is in the file now, to the letter, with its indentation.
            new: What shall stand there instead; empty to remove it.
        """
        return _done([ws.edit(path, old, new, key=_key(ctx))])

    @tool
    def apply_diff(diff: str, ctx: Context) -> str:
        """Apply a unified diff (as git diff prints it) to one or more files. All of it is applied, or nothing.

        Args:
            diff: The diff, with --- and +++ lines, @@ hunks and lines of context that match the files.
        """
        return _done(ws.apply_diff(diff, key=_key(ctx)))

    @tool
    def move_file(source: str, target: str, ctx: Context) -> str:
        """Move or rename a file or folder.

        Args:
            source: What to move, relative to the project.
            target: Its new path; nothing may be there yet.
        """
        return _done([ws.move(source, target, key=_key(ctx))])

    @tool
    def delete_file(path: str, ctx: Context) -> str:
        """Delete a file, or a folder with all that it holds.

        Args:
            path: What to delete, relative to the project.
        """
        return _done([ws.delete(path, key=_key(ctx))])

    return [write_file, edit_file, apply_diff, move_file, delete_file]


def _running(ws: Workspace, check: tuple[str, ...]) -> list[AgentTool]:
    @tool
    async def run_tests(ctx: Context, paths: list[str] | None = None) -> str:
        """Run the project's tests and see what fails. Run them after every change.

        Args:
            paths: Test files or folders to run; leave it out to run all.
        """
        for path in paths or ():
            if path.startswith("-"):
                raise BadToolCall(f"{path!r} is an option. paths takes test files and folders only.")
            ws.resolve(path.partition("::")[0])
        return _ended(await ws.run([*check, *(paths or ())], key=_key(ctx)))

    @tool(in_doubt="ask")
    async def run_command(argv: list[str], ctx: Context, timeout: float | None = None) -> str:
        """Run a program in the project's folder, without a shell: no pipes, no &&, no wildcards. Few are allowed.

        Args:
            argv: The program and its arguments, each an item: ["python", "-m", "pytest", "-q"].
            timeout: Seconds after which it is stopped.
        """
        return _ended(await ws.run(argv, timeout=timeout, key=_key(ctx)))

    return [run_tests, run_command]


def _key(ctx: Context) -> str | None:
    # The place in it, since outside of a durable run one key may be that of a whole program.
    return None if ctx.idempotency_key is None else f"{ctx.idempotency_key}:{ctx.where}"


def _done(changes: Sequence[Change]) -> str:
    if not changes:
        return "Nothing was changed."
    return "\n".join(
        f"{one.op}: {one.source} -> {one.path}"
        if one.op == "move" and one.source
        else f"{one.op}: {one.path}"
        for one in changes[:_LISTED]
    )


def _ended(result: CommandResult) -> str:
    how = f"exit code {result.exit_code}, {result.seconds:.1f} s"
    if result.timed_out:
        how += "; stopped: its time was over"
    elif result.killed:
        how += f"; stopped: {result.killed}"
    parts = [f"$ {' '.join(result.argv)}\n[{how}]"]
    if result.stdout.strip():
        parts.append(result.stdout.rstrip())
    if result.stderr.strip():
        parts.append(f"[standard error]\n{result.stderr.rstrip()}")
    if result.truncated:
        parts.append("[part of the output was dropped]")
    if result.changed:
        parts.append(f"[it changed: {', '.join(result.changed[:_LISTED])}]")
    if result.restored:
        parts.append(
            f"[protected, put back, so this run does not count: {', '.join(result.restored[:_LISTED])}]"
        )
    parts += [f"[{note}]" for note in result.notes]
    return "\n".join(parts)
