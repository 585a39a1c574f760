"""Reading `tidyllm.yaml` and its overlays: files in, settings out. It knows files, not what settings mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from tidyllm.config.check import check
from tidyllm.config.problem import Problem, Where
from tidyllm.config.schema import Settings
from tidyllm.config.secrets import absolute, secret
from tidyllm.config.tree import MAX_BYTES, parse
from tidyllm.config.warn import warnings
from tidyllm.errors import ConfigError

__all__ = ["Findings", "inspect", "overlay_path", "problems", "read", "secret"]

_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Findings(msgspec.Struct, frozen=True):
    """What `inspect` found. `settings` is None when there are problems."""

    settings: Settings | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read(path: str | Path, *, env: str | None = None) -> Settings:
    """The settings in the file at `path`; with `env="staging"`, `tidyllm.staging.yaml` beside it is laid over it.

    In an overlay, keys replace those below; sections are merged key by key, lists are replaced whole, and a section
    with nothing behind it means its defaults again.

    :raises ConfigError: a file is missing or unreadable, or anything in it is wrong; every problem is named.
    """
    found = inspect(path, env=env)
    if found.settings is None:
        raise ConfigError("\n".join(map(str, found.problems)))
    return found.settings


def problems(path: str | Path, *, env: str | None = None) -> list[Problem]:
    """Everything that is wrong with the file; empty when it is fine. Touches no network and no secret.

    :raises ConfigError: a file is missing or unreadable.
    """
    return list(inspect(path, env=env).problems)


def inspect(path: str | Path, *, env: str | None = None) -> Findings:
    """Settings, problems and warnings at once; see `read` and `problems`.

    :raises ConfigError: a file is missing or unreadable.
    """
    path = Path(path)
    files = [path] if env is None else [path, overlay_path(path, env)]
    trees = [parse(_text(file)) for file in files]
    places: dict[Where, tuple[str, int]] = {}
    data: Any = None
    broken: list[Problem] = []
    usable = True
    for file, tree in zip(files, trees, strict=True):
        places |= {where: (str(file), line) for where, line in tree.lines.items()}
        broken += [msgspec.structs.replace(one, file=str(file)) for one in tree.problems]
        value: object = tree.value
        if isinstance(value, dict):
            data = _merge(data, cast("dict[str, Any]", value))
        elif tree.problems:
            usable = False
        elif value is not None:
            message = "the file holds no keys; expected some such as providers and models."
            broken.append(Problem((), message, file=str(file)))
            usable = False
    if not usable:
        return Findings(None, tuple(broken))
    settings, found = check(data)
    broken += [_placed(one, places, path) for one in found]
    if broken or settings is None:
        return Findings(None, tuple(broken))
    settings = _located(settings, path.parent)
    return Findings(settings, (), tuple(_placed(one, places, path) for one in warnings(settings)))


def overlay_path(path: Path, env: str) -> Path:
    """`tidyllm.yaml` and `staging` give `tidyllm.staging.yaml`.

    :raises ConfigError: `env` is no plain name.
    """
    if not _NAME.fullmatch(env):
        raise ConfigError(
            f"{env!r} cannot name an overlay.", where="env", hint="Use letters, digits, '-' and '_'."
        )
    return path.parent / f"{path.stem}.{env}{path.suffix}"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # and no more, whatever it is
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes; that is no configuration.")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}.", hint="Check the path.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8 (byte {error.start:,}).") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{path} cannot be read: {reason}.") from error


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        merged = dict(cast("Mapping[str, Any]", below))
        for key, value in cast("Mapping[str, Any]", above).items():
            merged[key] = _merge(merged[key], value) if key in merged else value
        return merged
    return above


def _placed(problem: Problem, places: Mapping[Where, tuple[str, int]], path: Path) -> Problem:
    """The problem with the file and the line of the nearest key around it."""
    where = problem.where
    while where and where not in places:
        where = where[:-1]
    file, line = places.get(where, (str(path), None))
    return msgspec.structs.replace(problem, file=file, line=line)


def _located(settings: Settings, folder: Path) -> Settings:
    """The same settings, with `file:` secrets counted from the folder of the configuration."""
    replace = msgspec.structs.replace
    server = settings.server
    if server.master_key is not None:
        server = replace(server, master_key=absolute(server.master_key, folder))
    providers = {
        name: replace(
            one,
            api_key=None if one.api_key is None else absolute(one.api_key, folder),
            headers={header: absolute(value, folder) for header, value in one.headers.items()},
        )
        for name, one in settings.providers.items()
    }
    return replace(settings, server=server, providers=providers)
