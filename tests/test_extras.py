"""Without the packages of an extra every door to it says what to install."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.cli.command import environment
from tidyllm.errors.extras import installed, missing

BLOCKED = "import sys; sys.modules[sys.argv.pop(1)] = None; from tidyllm.cli import main; main()"


@pytest.mark.parametrize(
    ("package", "extra", "words"),
    [
        (
            "dbos",
            "durable",
            "agents run --project . --goal x --check pytest --model ollama/any --max-usd none",
        ),
        ("sqlalchemy", "store", "spend"),
        ("libcst", "migrate", "migrate plan ."),
    ],
)
async def test_a_command_names_the_extra(package: str, extra: str, words: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", BLOCKED, package, *words.split()),
        cwd=tmp_path,
        env=environment(XDG_DATA_HOME=str(tmp_path / "data"), OLLAMA_HOST="http://127.0.0.1:9"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert (process.returncode, b"Traceback" in err) == (2, False), err
    assert f"pip install 'tidyllm[{extra}]'".encode() in err


def test_a_package_that_is_of_no_extra_is_nobody_elses_fault() -> None:
    assert missing(ModuleNotFoundError("no", name="json.tool")) is None
    with pytest.raises(ModuleNotFoundError), installed():
        raise ModuleNotFoundError("no", name="of_yours")
