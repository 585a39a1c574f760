"""`tidyllm serve`: checks what must be true before serving, binds the socket, and runs one worker or several."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidyllm.config import Routes
from tidyllm.config.defaults import ADDRESSES
from tidyllm.errors import ConfigError
from tidyllm.gateway.auth import MasterKey, generated_key
from tidyllm.gateway.worker import Source, Work, given_key, reloads_held, work
from tidyllm.models.http_target import target

__all__ = ["Started", "serve"]


class Started(msgspec.Struct, frozen=True):
    """What is true when the server is about to answer: for the words on the screen."""

    url: str
    routes: Routes
    key_file: Path | None
    """Where the generated key is; None when a key was given."""
    workers: int
    from_environment: bool


def serve(
    source: Source,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    tell: Callable[[Started], None],
) -> None:
    """Serve until a signal says to stop. `host`, `port` and `workers` go before what the settings say.

    :raises ConfigError: the settings are wrong, the address cannot be had, or it lies beyond loopback without a key.
    """
    with reloads_held():
        _serve(source, host=host, port=port, workers=workers, tell=tell)


def _serve(
    source: Source,
    *,
    host: str | None,
    port: int | None,
    workers: int | None,
    tell: Callable[[Started], None],
) -> None:
    settings = source.settings()
    server = settings.server
    routes = Routes(settings)
    if not routes and not routes.patterns:
        raise ConfigError(
            "no model is configured, so there is nothing to serve.",
            where="models",
            hint="Add one with its route.",
        )
    count = _workers(server.workers if workers is None else workers)
    chosen = server.host if host is None else host
    listener = _bound(chosen, server.port if port is None else port)
    try:
        local = _is_loopback(listener)
        key, key_file = given_key(settings), None
        if key is None:
            key_file = _key_file(chosen, local=local)
            key = generated_key(key_file)
            MasterKey(key, where=str(key_file))
        _refuse_circles(routes, listener, from_environment=source.path is None)
        listener.listen(2048)
        _raise_limit_of_files()
        shown = f"[{chosen}]" if ":" in chosen else chosen
        url = f"http://{shown}:{listener.getsockname()[1]}"
        tell(Started(url, routes, key_file, count, source.path is None))
        task = Work(source, settings, key, open_metrics=local, workers=count)
        if count == 1:
            work(task, listener)
        else:
            if os.name != "posix":
                raise ConfigError(
                    "several workers need signals that this system lacks.", where="server.workers"
                )
            from tidyllm.gateway.supervisor import Supervisor

            Supervisor(task, listener, count).run()
    finally:
        listener.close()


def _workers(wanted: int) -> int:
    cores = os.cpu_count() or 1
    most = _PER_CORE * cores
    if wanted > most:
        raise ConfigError(
            f"{wanted:,} workers are too many for the {cores} cores of this machine; at most {most} can be of use.",
            where="server.workers",
            hint=f"One for each core is enough ({cores}); each takes some 50 MB.",
        )
    return wanted


def _key_file(host: str, *, local: bool) -> Path:
    if not local:
        raise ConfigError(
            f"the server would listen on {host}, beyond this machine, without a key of yours.",
            where="TIDYLLM_MASTER_KEY",
            hint="Set it (openssl rand -hex 24 makes one), or listen on 127.0.0.1.",
        )
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tidyllm" / "master.key"


def _is_loopback(listener: socket.socket) -> bool:
    """By the address that was bound, not by a name that may mean anything."""
    try:
        return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse_circles(routes: Routes, listener: socket.socket, *, from_environment: bool) -> None:
    """A shell in which clients find this gateway by `OPENAI_BASE_URL` would make it its own provider, without end."""
    host, port = listener.getsockname()[:2]
    hosts = {host}
    if _is_loopback(listener) or host in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        hosts |= {"localhost", "127.0.0.1", "::1"}
    for name, provider in routes.providers.items():
        where = target(provider.base_url)
        if where.port == port and where.host in hosts:
            variable = ADDRESSES.get(name, "") if from_environment else ""
            raise ConfigError(
                f"it is at {where.where}, where this server itself would listen: each call would call itself again.",
                where=variable or f"providers.{name}.base_url",
                hint=f"Unset {variable} for the server."
                if variable
                else "Choose another address, or --port.",
            )


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"there is no address {host!r}: {error}.", where="server.host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}.",
            where="server.port",
            hint="Another program may use it; choose another with --port (0 takes a free one).",
        ) from error
    return listener


def _raise_limit_of_files() -> None:
    """A connection is an open file. Systems start programs with 1,024 of them and let them ask for more."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            pass  # then it is the old limit


_FILES = 65_536
_PER_CORE = 8
"""Workers: more than this only wait for each other, and what they take may be all the memory that there is."""
