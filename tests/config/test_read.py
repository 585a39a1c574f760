"""Reading configuration files: overlays, places of problems, warnings, secrets, and files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.config import inspect, problems, read, secret
from tidyllm.config.schema import ServerSettings, Settings
from tidyllm.config.secrets import absolute
from tidyllm.config.warn import warnings
from tidyllm.errors import ConfigError

GOOD = """
server: {port: 8500, drain: 5}
providers:
  main: {kind: offline}
models:
  fast:
    route: [main/simulated]
    deadline: 20
    retry: {attempts: 2, base: 0.1}
"""


def write(folder: Path, text: str, name: str = "tidyllm.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path) -> None:
    settings = read(write(tmp_path, GOOD))
    assert settings.server.port == 8500
    assert settings.models["fast"].retry.attempts == 2
    assert settings.models["fast"].retry.cap == 8.0
    assert problems(tmp_path / "tidyllm.yaml") == []


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "providers:\nmodels:\n"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert read(write(tmp_path, text)) == Settings()


def test_a_problem_names_file_line_and_key(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("attempts: 2", "atempts: 2"))
    assert [str(one) for one in problems(path)] == [
        f"{path}:9: models.fast.retry.atempts: unknown key. Did you mean 'attempts'?"
    ]


def test_every_problem_is_in_the_error(tmp_path: Path) -> None:
    path = write(tmp_path, "sever: {}\nserver: {port: x}\n")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).splitlines() == [
        f"{path}:1: sever: unknown key. Did you mean 'server'?",
        f"{path}:2: server.port: expected a whole number from 0 to 65535, got the text 'x'.",
    ]


def test_a_missing_key_is_placed_where_it_belongs(tmp_path: Path) -> None:
    path = write(tmp_path, "models:\n  fast:\n    deadline: 3\n")
    assert str(problems(path)[0]).startswith(f"{path}:2: models.fast: the key 'route' is missing.")


def test_broken_yaml_and_twice_given_keys_are_problems(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {port: 1}\nserver: {port: 2}\nmodles: {}\n")
    assert [one.line for one in problems(path)] == [2, 3]
    assert "this is not YAML" in str(problems(write(tmp_path, "a: ["))[0])


# -- overlays


def test_an_overlay_replaces_values_and_merges_sections(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    over = """
    server: {port: 9000}
    models:
      fast: {retry: {base: 0.5}, route: [main/echo]}
      slow: {route: [main/slow]}
    """
    write(tmp_path, over, "tidyllm.staging.yaml")
    settings = read(path, env="staging")
    assert (settings.server.port, settings.server.drain) == (9000, 5)
    assert settings.models["fast"].route == ("main/echo",)
    assert (settings.models["fast"].retry.attempts, settings.models["fast"].retry.base) == (2, 0.5)
    assert set(settings.models) == {"fast", "slow"}


def test_a_key_with_nothing_behind_it_means_the_default_again(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, "server:\nmodels: {fast: {retry: , deadline: null}}\n", "tidyllm.x.yaml")
    settings = read(path, env="x")
    assert settings.server == ServerSettings()
    assert settings.models["fast"].retry.attempts == 3
    assert settings.models["fast"].deadline is None


def test_an_empty_overlay_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, "# nothing\n", "tidyllm.x.yaml")
    assert read(path, env="x") == read(path)


def test_a_problem_is_placed_in_the_file_it_stands_in(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("port: 8500", "prot: 8500"))
    over = write(tmp_path, "models:\n  fast:\n    deadlin: 3\n", "tidyllm.x.yaml")
    placed = sorted((one.file, one.line or 0) for one in problems(path, env="x"))
    assert placed == sorted([(str(path), 2), (str(over), 3)])


def test_a_file_that_is_no_section_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    over = write(tmp_path, "[1, 2]", "tidyllm.x.yaml")
    [problem] = problems(path, env="x")
    assert str(problem).startswith(f"{over}: the file holds no keys")
    write(tmp_path, "just text")
    assert len(problems(path)) == 1


def test_a_missing_overlay_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*tidyllm\.prod\.yaml"):
        read(write(tmp_path, GOOD), env="prod")


@pytest.mark.parametrize("env", ["", "../x", "a/b", "a b", ".", "\x00"])
def test_the_name_of_an_overlay_is_a_plain_word(tmp_path: Path, env: str) -> None:
    with pytest.raises(ConfigError, match="cannot name an overlay"):
        read(write(tmp_path, GOOD), env=env)


# -- what is no configuration


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read(tmp_path / "nowhere.yaml")


def test_a_folder_a_binary_file_and_a_huge_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read(binary)
    with pytest.raises(ConfigError, match="more than 524,288 bytes"):
        read("/dev/zero")
    with pytest.raises(ConfigError, match="cannot be read"):
        read("a\x00b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        read(path)


@given(text=st.text(alphabet="abkmrs:-[]{}&*!'\"#, \n01.", max_size=80))
def test_any_text_is_settings_or_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    found = inspect(write(tmp_path_factory.mktemp("any"), text))
    assert (found.settings is None) == bool(found.problems)


# -- warnings


WARNED = """
server: {master_key: plain-master-key-in-the-file}
providers:
  plain: {kind: openai, api_key: sk-plain}
  unset: {kind: openai, api_key: "env:TIDY_TEST_UNSET"}
  file: {kind: openai, api_key: "file:missing.key", headers: {X-Api-Key: sk-header, X-Team: red}}
  own: {kind: openai}
  elsewhere: {kind: openai, base_url: "http://127.0.0.1:1/v1"}
models:
  all: {route: [plain/x, unset/x, file/x, own/x]}
"""


def test_what_will_not_work_here_is_a_warning_and_no_problem(tmp_path: Path) -> None:
    found = inspect(write(tmp_path, WARNED))
    assert found.settings is not None
    told = {".".join(map(str, one.where)): one for one in found.warnings}
    assert set(told) == {
        "server.master_key",
        "providers.plain.api_key",
        "providers.unset.api_key",
        "providers.file.api_key",
        "providers.file.headers.X-Api-Key",
        "providers.own",
        "providers.elsewhere",
    }
    assert "plain text" in told["providers.plain.api_key"].message
    assert "TIDY_TEST_UNSET is not set here" in told["providers.unset.api_key"].message
    assert str(tmp_path / "missing.key") in told["providers.file.api_key"].message
    assert "OPENAI_API_KEY is not set here" in told["providers.own"].message
    assert told["providers.elsewhere"].message == "no route leads to this provider."
    assert told["providers.plain.api_key"].line == 4
    assert "sk-" not in " ".join(map(str, found.warnings))


def test_nothing_is_warned_of_when_all_is_there(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("sk-1\n")
    text = """
    providers:
      a: {kind: openai, api_key: "env:A_KEY"}
      b: {kind: openai, api_key: "file:k", headers: {x-token: "env:A_KEY"}}
      c: {kind: openai}
    models:
      m: {route: [a/x, b/x, c/x]}
    """
    settings = inspect(write(tmp_path, text)).settings
    assert settings is not None
    assert list(warnings(settings, {"A_KEY": "k", "OPENAI_API_KEY": "k"})) == []


# -- secrets


def test_plain_text_is_the_secret_itself() -> None:
    assert secret("sk-1", where="x") == "sk-1"
    assert secret("vault:9", where="x") == "vault:9"


def test_a_secret_from_a_variable_or_a_file_loses_white_space_around_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(" sk-file\r\n")
    assert secret(f"file:{path}", where="x") == "sk-file"
    os.environ["TIDY_TEST_KEY"] = "sk-env\n"
    try:
        assert secret("env:TIDY_TEST_KEY", where="x") == "sk-env"
    finally:
        del os.environ["TIDY_TEST_KEY"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("env:TIDY_TEST_UNSET", "environment variable TIDY_TEST_UNSET is not set. Set TIDY_TEST_UNSET."),
        ("env:", "'env:' names nothing."),
        ("file:", "'file:' names nothing."),
        ("file:/nowhere/key", "the secret file /nowhere/key cannot be read: No such file or directory."),
        ("file:/", "the secret file / cannot be read: Is a directory."),
        ("file:~nobody-here/key", "cannot be read"),
        ("file:a\x00b", "cannot be read"),
        ("file:/dev/null", "the secret file /dev/null is empty."),
    ],
)
def test_a_secret_that_is_not_there_names_the_place(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secret(value, where="providers.main.api_key")
    assert said in str(caught.value)
    assert str(caught.value).startswith("providers.main.api_key: ")


def test_a_secret_file_counts_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("sk-relative")
    text = 'server: {master_key: "file:k"}\nproviders: {a: {kind: openai, api_key: "file:k", headers: {x: "file:k"}}}\n'
    settings = read(write(tmp_path, text))
    provider = settings.providers["a"]
    for value in (settings.server.master_key, provider.api_key, provider.headers["x"]):
        assert value is not None
        assert secret(value, where="x") == "sk-relative"
    assert absolute("file:/a/b", tmp_path) == "file:/a/b"
    assert absolute("file:~/b", tmp_path) == "file:~/b"
    assert absolute("env:X", tmp_path) == "env:X"
    assert absolute("plain", tmp_path) == "plain"


def clocks(tmp_path: Path, model: str, route: str = "[main/x]") -> list[str]:
    """The warnings about a route with these settings."""
    text = f"providers: {{main: {{kind: offline}}}}\nmodels: {{m: {{route: {route}, {model}}}}}\n"
    found = inspect(write(tmp_path, text))
    assert found.settings is not None, found.problems
    return [str(one).partition(": models.m.")[2] for one in found.warnings]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "timeout: {total: 10, first_piece: 15}",
            "timeout.first_piece: 15 s is longer than the whole attempt",
        ),
        (
            "timeout: {total: 10, gap: 15}",
            "timeout.gap: 15 s is longer than the whole attempt may take (10 s)",
        ),
        (
            "timeout: {total: 90}, deadline: 60",
            "timeout.total: 90 s for one attempt is longer than the deadline",
        ),
        ("timeout: {total: 60}, deadline: 60", "timeout.total: 60 s for one attempt is the whole deadline"),
        (
            "retry: {base: 9, cap: 99}, deadline: 5",
            "retry.base: the first pause may take 9 s, and the deadline is 5 s",
        ),
        (
            "limit: {rate: 1, max_wait: 9}, deadline: 5",
            "limit.max_wait: 9 s is longer than the deadline (5 s)",
        ),
    ],
)
def test_times_that_contradict_each_other_are_warned_of(tmp_path: Path, model: str, said: str) -> None:
    found = clocks(tmp_path, model)
    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    "model",
    [
        "deadline: 5",
        "deadline: null, timeout: {total: 900}",
        "timeout: {total: 5}",
        "timeout: {total: null, first_piece: 900}",
        "timeout: {total: 60, first_piece: 15, gap: 15}, deadline: 120",
        "timeout: {total: 60}, deadline: 60, retry: {attempts: 1}",
        "retry: {base: 100, attempts: 1, cap: 100}, deadline: 5",
    ],
)
def test_times_that_get_along_are_not_warned_of_and_no_default_is_blamed(tmp_path: Path, model: str) -> None:
    assert clocks(tmp_path, model) == []
