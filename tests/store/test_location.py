"""Which database a URL or path means, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidyllm.errors import ConfigError, StoreDown
from tidyllm.store import SharedState, Store
from tidyllm.store.location import locate


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("/var/lib/x.db", "/var/lib/x.db"),
        (Path("/var/lib/x.db"), "/var/lib/x.db"),
        ("/odd name%20?#.db", "/odd name%20?#.db"),
        ("sqlite:///x.db", str(Path("x.db").absolute())),
        ("~/x.db", str(Path("~/x.db").expanduser())),
    ],
)
def test_a_file(url: str | Path, path: str) -> None:
    found = locate(url)
    assert (found.dialect, str(found.path), found.name) == ("sqlite", path, f"sqlite:///{path}")


def test_one_file_has_one_name_however_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    (tmp_path / "other.db").symlink_to(tmp_path / "x" / "rt.db")
    ways = ["x/rt.db", "x/../x/rt.db", "link/rt.db", "other.db"]
    assert {locate(f"{tmp_path}/{way}").name for way in ways} == {locate(tmp_path / "x" / "rt.db").name}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", ":memory:"])
def test_a_store_in_memory(url: str) -> None:
    assert (locate(url).path, locate(url).name) == (None, "sqlite://")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_server(scheme: str) -> None:
    found = locate(f"{scheme}://user:se%2Fcret@db.example:5433/llm?sslmode=require&password=se%2Fcret")
    assert found.name == "postgresql://user@db.example:5433/llm?sslmode=require"
    assert found.url is not None
    assert (found.url.password, found.url.drivername) == ("se/cret", "postgresql+psycopg")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/d",
        "postgresql://u:secret@h",
        "postgresql://u:secret@h:port/d",
        "sqlite://secret/x.db",
        "sqlite:///x.db?secret=1",
        "",
        "a\0b",
        "redis://u:secret@h/0",
    ],
)
def test_what_is_no_store_is_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^store: .*expected") as caught:
        locate(url)
    assert "secret@" not in str(caught.value)


@given(some.text(min_size=1, max_size=30))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    for prefix in (
        "",
        "sqlite:///",
        "postgresql://u:hush-hush@h/",
        "postgresql://",
        "postgresql://u:hush-hush@",
    ):
        try:
            shown = repr(locate(prefix + text))
        except ConfigError as error:
            shown = str(error)
        assert "hush-hush" not in shown


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(StoreDown, match=r"postgresql://u@127.0.0.1:1/llm cannot be used now") as caught:
        Store.open("postgresql://u:hush-hush@127.0.0.1:1/llm")
    assert "hush-hush" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    "url", ["http://h", "redis", "redis://u:hush@h:port/1", "redis://u:hush@h/x?nonsense=1"]
)
async def test_what_is_no_redis_is_refused(url: str) -> None:
    try:
        await SharedState.open(url).get("x")
    except ConfigError as error:
        assert "hush" not in str(error)  # noqa: PT017 - the other end of `try` fails
    else:
        raise AssertionError(url)
