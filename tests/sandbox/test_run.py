# ruff: noqa: E501 - programs inside of texts
"""Commands: what they may, what they give back, and what they leave."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.sandbox.places import BROKEN, workspace
from tidyllm import clock
from tidyllm.errors import CommandRefused, OutsideWorkspace
from tidyllm.sandbox import Limits, isolation

pytestmark = pytest.mark.skipif(isolation() is None, reason="this machine has no sandbox for commands")


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def marked(mark: str) -> list[int]:
    """Processes of this machine that carry a word in their command line."""
    found: list[int] = []
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and mark.encode() in (place / "cmdline").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:
            continue
    return [pid for pid in found if alive(pid)]


async def test_tests_fail_are_repaired_and_pass(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        without = (
            "hypothesispytest",
            "xdist",
            "langsmith_plugin",
            "anyio",
            "schemathesis",
            "pytest_cov",
        )  # slow to load
        argv = ["python", "-m", "pytest", "-q", *(word for name in without for word in ("-p", f"no:{name}"))]
        failed = await ws.run(argv)
        assert (failed.exit_code, failed.ok, "assert -1 == 3" in failed.stdout) == (1, False, True)
        ws.edit("calc.py", "a - b", "a + b")
        passed = await ws.run(argv)
        assert (passed.exit_code, passed.ok, passed.changed) == (0, True, ())
        assert ws.list() == ["calc.py", "tests/", "tests/test_calc.py"]


async def test_the_result_tells_exit_code_and_both_outputs(tmp_path: Path) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint(sys.stdin.read() == '')\nsys.exit(7)\n"
    with workspace(tmp_path, {"p.py": code}) as ws:
        result = await ws.run(["python", "p.py"])
        assert (result.exit_code, result.stdout, result.stderr) == (7, "out\nTrue\n", "err\n")
        assert result.isolation == isolation()
        assert "seccomp" in result.layers
        assert result.argv == ("python", "p.py")


async def test_a_signal_is_a_negative_exit_code(tmp_path: Path) -> None:
    with workspace(tmp_path, {"p.py": "import os\nos.kill(os.getpid(), 15)\n"}) as ws:
        assert (await ws.run(["python", "p.py"])).exit_code == -15


LINGERING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "sleep.py", sys.argv[1]])
    os._exit(0)
time.sleep(float(sys.argv[2]))
"""
SLEEP = "import time\ntime.sleep(300)\n"


async def test_at_the_timeout_everything_is_killed_also_in_sessions_of_its_own(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-a"
    with workspace(tmp_path, {"p.py": LINGERING, "sleep.py": SLEEP}) as ws:
        result = await ws.run(["python", "p.py", mark, "300"], timeout=1.5)
        assert (result.timed_out, result.ok) == (True, False)
        assert marked(mark) == []


async def test_what_a_command_leaves_behind_is_killed(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-b"
    with workspace(tmp_path, {"p.py": LINGERING, "sleep.py": SLEEP}) as ws:
        result = await ws.run(["python", "p.py", mark, "0.3"])
        assert (result.exit_code, result.timed_out) == (0, False)
        assert marked(mark) == []


async def test_a_cancelled_command_is_killed_and_its_changes_are_recorded(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-c"
    code = f"import os, sys, time\nopen('made.txt', 'w').close()\n{SLEEP}"
    with workspace(tmp_path, {"p.py": code}) as ws:
        task = asyncio.ensure_future(ws.run(["python", "p.py", mark]))
        while not (ws.root / "made.txt").exists():
            await clock.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert marked(mark) == []
        assert [change.path for change in ws.changes()] == ["made.txt"]
        ws.undo("r")
        assert not (ws.root / "made.txt").exists()


async def test_only_the_ends_of_a_long_output_are_kept(tmp_path: Path) -> None:
    code = "print('begin' + 'x' * 3_000_000 + 'end')\n"
    with workspace(tmp_path, {"p.py": code}, limits=Limits(output_bytes=1000)) as ws:
        result = await ws.run(["python", "p.py"])
        assert result.truncated
        assert result.stdout.startswith("begin")
        assert result.stdout.endswith("end\n")
        assert "bytes left out" in result.stdout
        assert len(result.stdout) < 1100


@pytest.mark.parametrize(
    ("code", "limits"),
    [
        ("import os, time\nwhile True:\n    os.fork()\n    time.sleep(0.02)\n", Limits(processes=20)),
        (
            (
                "import os, time\nfor n in range(6):\n    if os.fork() == 0:\n        x = b'x' * 40_000_000\n        time.sleep(60)\n"
                "time.sleep(60)\n"
            ),
            Limits(memory_bytes=150_000_000),
        ),
        (
            "import time\nfor n in range(9999):\n    open(f'f{n % 50}', 'wb').write(b'x' * 1_000_000)\n    time.sleep(0.001)\n",
            Limits(disk_bytes=8_000_000),
        ),
    ],
    ids=["processes", "memory", "disk"],
)
async def test_what_many_processes_use_together_is_limited(tmp_path: Path, code: str, limits: Limits) -> None:
    with workspace(tmp_path, {"p.py": code}, limits=limits) as ws:
        result = await ws.run(["python", "p.py"], timeout=30)
        assert result.killed.startswith("more than")
        assert (result.ok, result.timed_out) == (False, False)
        ws.undo("r")
        assert ws.list() == ["p.py"]


async def test_memory_cpu_and_file_size_of_one_process_are_limited(tmp_path: Path) -> None:
    memory = "x = bytearray(3_000_000_000)\n"
    size = "open('big', 'wb').write(b'x' * 5_000_000)\n"
    limits = Limits(memory_bytes=1_000_000_000, file_bytes=1_000_000, cpu_seconds=1)
    with workspace(
        tmp_path, {"m.py": memory, "s.py": size, "c.py": "while True: pass\n"}, limits=limits
    ) as ws:
        assert "MemoryError" in (await ws.run(["python", "m.py"])).stderr
        assert (await ws.run(["python", "s.py"])).exit_code != 0
        assert (await ws.run(["python", "c.py"])).exit_code in {-signal.SIGXCPU, -signal.SIGKILL}


SPOIL = {
    **BROKEN,
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "spoil.py": """
import os, pathlib, shutil
pathlib.Path("tests/test_calc.py").write_text("def test_add(): pass")
os.chmod("tests/test_calc.py", 0o777)
pathlib.Path("conftest.py").write_text("collect_ignore_glob = ['*']")
pathlib.Path("pytest.py").write_text("print('1 passed')")
pathlib.Path("pyproject.toml").write_text("[tool.pytest.ini_options]\\naddopts = '--co'")
pathlib.Path("notes.txt").write_text("mine")
os.makedirs("sub/.git/hooks")
os.mkdir("__pycache__")
pathlib.Path("__pycache__/calc.cpython-311.pyc").write_bytes(b"planted")
""",
    "drop.py": "import shutil, os\nshutil.rmtree('tests')\nos.symlink('/etc', 'tests')\n",
}


async def test_protected_files_that_a_command_changed_are_put_back_and_named(tmp_path: Path) -> None:
    with workspace(tmp_path, SPOIL) as ws:
        before = ws.tree_hash()
        result = await ws.run(["python", "spoil.py"])
        assert result.restored == (
            "conftest.py",
            "pyproject.toml",
            "pytest.py",
            "sub/.git",
            "tests/test_calc.py",
        )
        assert (result.exit_code, result.ok) == (0, False)
        assert result.changed == ("notes.txt", "sub")
        assert ws.protected_changes() == []
        assert not (ws.root / "__pycache__").exists()
        ws.undo("r")
        assert ws.tree_hash() == before


async def test_a_folder_of_tests_that_was_exchanged_for_a_link_comes_back(tmp_path: Path) -> None:
    with workspace(tmp_path, SPOIL) as ws:
        before = ws.tree_hash()
        result = await ws.run(["python", "drop.py"])
        assert "tests/test_calc.py" in result.restored
        assert ws.tree_hash() == before


async def test_a_test_that_was_changed_and_changed_back_is_told(tmp_path: Path) -> None:
    code = "p = 'tests/test_calc.py'\nold = open(p).read()\nopen(p, 'w').write('')\nopen(p, 'w').write(old)\n"
    with workspace(tmp_path, {**BROKEN, "p.py": code}) as ws:
        result = await ws.run(["python", "p.py"])
        assert result.restored == ()
        assert any("tests/test_calc.py was touched" in note for note in result.notes)


async def test_git_is_there_for_looking_and_its_configuration_stays(tmp_path: Path) -> None:
    code = "for p in ('.git/config', '.git/hooks/post-checkout'):\n    try: open(p, 'w').write('evil')\n    except OSError: pass\n"
    with workspace(tmp_path, {"p.py": code}) as ws:
        for argv in (
            ["init", "-q"],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
        ):
            process = await asyncio.create_subprocess_exec("git", *argv, cwd=ws.root)
            assert await process.wait() == 0
        config = (ws.root / ".git" / "config").read_text()
        await ws.run(["python", "p.py"])
        assert (ws.root / ".git" / "config").read_text() == config
        assert not (ws.root / ".git" / "hooks" / "post-checkout").exists()
        status = await ws.run(["git", "status", "--short"])
        assert (status.exit_code, status.stdout) == (0, "?? p.py\n")


async def test_an_edit_made_while_a_command_runs_is_no_change_of_the_command(tmp_path: Path) -> None:
    code = (
        "import os, time\nopen('go', 'w').close()\nwhile not os.path.exists('mine.txt'): time.sleep(0.01)\n"
    )
    with workspace(tmp_path, {"p.py": code}) as ws:
        task = asyncio.ensure_future(ws.run(["python", "p.py"], timeout=30))
        while not (ws.root / "go").exists():
            await clock.sleep(0.02)
        ws.write("mine.txt", "x")
        assert (await task).changed == ("go",)
        assert [(one.op, one.path) for one in ws.changes()] == [("write", "mine.txt"), ("command", "go")]


async def test_two_commands_wait_for_each_other(tmp_path: Path) -> None:
    code = "import os, sys, time\nassert not os.path.exists('busy')\nopen('busy', 'w').close()\ntime.sleep(0.2)\nos.remove('busy')\n"
    with workspace(tmp_path, {"p.py": code}) as ws:
        results = await asyncio.gather(*(ws.run(["python", "p.py"]) for _ in range(3)))
        assert [one.exit_code for one in results] == [0, 0, 0]


async def test_a_key_runs_a_command_once(tmp_path: Path) -> None:
    with workspace(tmp_path, {"p.py": "open('log', 'a').write('x')\n"}) as ws:
        first = await ws.run(["python", "p.py"], key="k")
        assert await ws.run(["python", "p.py"], key="k") == first
        assert ws.read("log") == "x"


async def test_hard_links_out_of_the_tree_stop_a_command(tmp_path: Path) -> None:
    with workspace(tmp_path) as ws:
        (tmp_path / "secret.txt").write_text("secret")
        os.link(tmp_path / "secret.txt", ws.root / "hard.txt")
        with pytest.raises(OutsideWorkspace, match=r"hard\.txt"):
            await ws.run(["true"])


async def test_a_program_that_is_missing_is_refused(tmp_path: Path) -> None:
    with (
        workspace(tmp_path, allow_commands=["no-such-program"]) as ws,
        pytest.raises(CommandRefused, match="no such program"),
    ):
        await ws.run(["no-such-program"])


async def test_servers_on_the_loopback_work_where_the_command_has_a_network_of_its_own(
    tmp_path: Path,
) -> None:
    code = (
        "import socket, asyncio\ns = socket.create_server(('127.0.0.1', 0))\nc = socket.create_connection(s.getsockname())\n"
        "asyncio.run(asyncio.sleep(0))\nprint('fine')\n"
    )
    with workspace(tmp_path, {"p.py": code}) as ws:
        result = await ws.run(["python", "p.py"])
        assert ("fine" in result.stdout) == ("network" in result.layers)
