"""`tidyllm store` as its user sees it: what it prints, its exit status, and that nothing is lost by mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import run
from tests.store.servers import postgres_url
from tidyllm.store.schema import HEAD


async def test_a_store_is_made_checked_copied_and_put_back(tmp_path: Path) -> None:
    made = await run(tmp_path, "store", "migrate", "-s", "a.db")
    assert (made.status, made.out) == (0, f"sqlite:///{tmp_path}/a.db has schema {HEAD}.\n")
    checked = await run(tmp_path, "store", "check", "-s", "a.db")
    assert checked.status == 0
    assert checked.out.startswith(f"sqlite:///{tmp_path}/a.db is fine: schema {HEAD}.\n  ")
    copied = await run(tmp_path, "store", "backup", "copy.db", "-s", "a.db")
    assert (copied.status, copied.out) == (0, f"copy.db: {(tmp_path / 'copy.db').stat().st_size:,} bytes.\n")
    back = await run(tmp_path, "store", "restore", "copy.db", "-s", "b.db")
    assert (back.status, back.out) == (0, f"sqlite:///{tmp_path}/b.db holds what copy.db held.\n")


async def test_the_default_place_is_in_the_users_data_folder(tmp_path: Path) -> None:
    made = await run(tmp_path, "store", "migrate", XDG_DATA_HOME=str(tmp_path / "data"))
    assert made.out.startswith(f"sqlite:///{tmp_path}/data/tidyllm/store.db has")
    named = await run(tmp_path, "store", "migrate", TIDYLLM_STORE_URL="sqlite:///here.db")
    assert named.out.startswith(f"sqlite:///{tmp_path}/here.db has")


@pytest.mark.parametrize(
    "command", [["spend"], ["keys", "list"], ["teams", "list"], ["organisations", "list"], ["store", "check"]]
)
async def test_beside_a_configuration_its_store_is_meant(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "tidyllm.yaml").write_text("store: {url: 'env:BOOKS'}\n")
    made = await run(tmp_path, "store", "migrate", BOOKS="books.db")
    assert made.out.startswith(f"sqlite:///{tmp_path}/books.db has")
    told = await run(tmp_path, *command, BOOKS="books.db")
    said = f"tidyllm: the store is sqlite:///{tmp_path}/books.db, as tidyllm.yaml says.\n"
    assert (told.status, told.err) == (0, said)
    given = await run(tmp_path, "store", "migrate", "-s", "a.db", TIDYLLM_STORE_URL="b.db")
    named = await run(tmp_path, "store", "migrate", TIDYLLM_STORE_URL="b.db")
    assert [one.out.split(" has")[0] for one in (given, named)] == [
        f"sqlite:///{tmp_path}/{name}.db" for name in "ab"
    ]
    assert given.err == named.err == ""
    missing = await run(tmp_path, *command)
    assert (missing.status, "BOOKS is not set" in missing.err, missing.traceback) == (2, True, False)


async def test_a_postgres_store_is_copied_to_a_file(tmp_path: Path) -> None:
    url = postgres_url()
    assert (await run(tmp_path, "store", "migrate", TIDYLLM_STORE_URL=url)).status == 0
    assert (await run(tmp_path, "store", "backup", "copy.db", TIDYLLM_STORE_URL=url)).status == 0
    checked = await run(tmp_path, "store", "check", "-s", "copy.db")
    assert (checked.status, checked.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["check", "-s", "noise.db"], 1, "is not a SQLite file"),
        (["migrate", "-s", "mysql://u:hush@h/d"], 2, "'mysql' is no database"),
        (["migrate", "-s", "postgresql://u:hush@127.0.0.1:1/d"], 1, "cannot be used now"),
        (["backup", "noise.db"], 1, "noise.db exists already"),
        (["restore", "noise.db", "-s", "new.db"], 1, "is not a SQLite file"),
        (["backup", "no/folder/copy.db", "-s", "fine.db"], 1, "there is no folder"),
    ],
)
async def test_what_goes_wrong_is_said_without_a_traceback(
    arguments: list[str], status: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "noise.db").write_bytes(b"noise" * 100)
    (tmp_path / "fine.db").touch()
    ended = await run(tmp_path, "store", *arguments)
    assert (ended.status, ended.traceback, ended.out) == (status, False, "")
    assert said in ended.err
    assert "hush" not in ended.err
    assert (tmp_path / "noise.db").read_bytes() == b"noise" * 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fine.db", "noise.db"]


async def test_help_of_the_command_line_does_not_load_the_database_library(tmp_path: Path) -> None:
    import asyncio
    import sys

    code = (
        "import sys, json; from tidyllm.cli.app import app\n"
        "print(json.dumps([name for name in ('sqlalchemy', 'alembic', 'redis', 'psycopg') if name in sys.modules]))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert json.loads(out) == []
