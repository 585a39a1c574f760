"""The admin API keeps to its description: whatever schemathesis sends, it finds nothing."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.gateway.admin.served import MASTER, Admin, served
from tests.store.servers import databases


async def findings(admin: Admin, folder: Path, *more: str) -> str:
    """What schemathesis says, or nothing when it found nothing."""
    command = (
        *("run", f"{admin.url}/admin/v1/openapi.json", "-H", f"Authorization: Bearer {MASTER}"),
        *("--no-color", "--continue-on-failure", *more),
    )
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")), *command, cwd=folder, stdout=PIPE, stderr=STDOUT
    )
    told, _ = await process.communicate()
    return "" if process.returncode == 0 else told.decode()[-8000:]


@pytest.mark.timeout(180)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as admin:
        assert await findings(admin, tmp_path, "--phases", "fuzzing", "-n", "3") == ""


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("dialect", databases())
async def test_schemathesis_finds_nothing_in_a_long_search(tmp_path: Path, dialect: str) -> None:
    async with served(tmp_path, dialect=dialect) as admin:
        assert await findings(admin, tmp_path, "-n", "200") == ""
        chain = await admin.ask("GET", "/admin/v1/audit/verify")
        assert chain.json["broken"] is None
