"""kill -9 at random moments over mixed flows: nothing lost, nothing recorded run again, nothing swapped."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.store.servers import databases, store_url

ROOT = Path(__file__).parents[2]


async def killed(url: str, folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """The report of the program that kills; see `kills.py`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.durable.kills", url, str(folder), str(kills), str(seed)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize("dialect", databases())
async def test_a_few_kills(tmp_path: Path, dialect: str) -> None:
    report = await killed(store_url(dialect, tmp_path), tmp_path, 4, 7)
    assert (report["wrong"], report["kills"]) == ([], 4)
    assert report["runs"] > 0


@pytest.mark.proof
@pytest.mark.parametrize(("dialect", "kills"), [("sqlite", 1000), ("postgresql", 200)])
async def test_many_kills(tmp_path: Path, dialect: str, kills: int) -> None:
    report = await killed(store_url(dialect, tmp_path), tmp_path, kills, 11)
    assert (report["wrong"], report["kills"]) == ([], kills)
    assert report["in_doubt"] > kills / 10
