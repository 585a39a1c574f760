"""Real Postgres and Redis servers for tests: started when the first test asks, shared by all workers of one run.

Each server lives in a folder of its own below the system's temporary folder, listens on a free port of the loopback,
and ends with the run that asked for it. Import the functions from anywhere; no fixture is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["Server", "databases", "postgres", "postgres_url", "redis", "redis_url", "store_url"]

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}-{secrets.token_hex(4)}"
_HOME = Path(tempfile.gettempdir()) / f"tidyllm-servers-{_RUN}"
_SECONDS = 40
_CHOICE = "TIDYLLM_TEST_STORE"


class Server:
    """A server of one's own, to be stopped and started at will; `close` ends it."""

    def __init__(self, folder: Path, port: int, command: list[str], ready: Callable[[Server], bool]) -> None:
        self.folder = folder
        self.port = port
        self._command = command
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, not for the server below them
                user=_user_for(self._command[0]),
                group=_user_for(self._command[0]),
            )
        end = time.monotonic() + _SECONDS
        while not self._ready(self):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"{self._command[0]} does not start: {(self.folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.05)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal: SIGSTOP makes it hang, SIGCONT go on."""
        os.kill(self.pid, what)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections and flushes, SIGKILL is a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(_SECONDS)
            finally:
                process.kill()

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _missing(what: str) -> NoReturn:
    """A skip with its reason; where everything must run (CI), a failure."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def postgres(folder: Path) -> Server:
    """A new Postgres server below `folder`, not started yet. Its superuser is `tidy`, with the password `pass/word`."""
    programs = _postgres_programs()
    data = folder / "data"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    data.mkdir()
    if _user_for("postgres") is not None:
        shutil.chown(data, "postgres", "postgres")
    (folder / "password").write_text("pass/word\n")
    subprocess.run(
        [
            programs / "initdb",
            *("-D", data, "-U", "tidy", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"),
            *("-E", "UTF8", "--no-locale", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        user=_user_for("postgres"),
        group=_user_for("postgres"),
    )
    port = _free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "shared_buffers": "32MB",
        "max_connections": 200,
        "autovacuum": "off",
    }
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Server(folder, port, [str(programs / "postgres"), "-D", str(data), *flags], _postgres_answers)


def redis(folder: Path) -> Server:
    """A new Redis server below `folder`, not started yet; it forgets everything when it ends."""
    program = shutil.which("redis-server")
    if program is None:
        _missing("redis-server is not installed; `make servers` installs it")
    folder.mkdir(parents=True)
    port = _free_port()
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Server(folder, port, [program, *flags, "--databases", "512", "--dir", str(folder)], _redis_answers)


def postgres_url() -> str:
    """The URL of a new, empty database on the shared server."""
    name = f"test_{secrets.token_hex(8)}"
    url = f"postgresql://tidy:pass%2Fword@127.0.0.1:{_shared('postgres', postgres)}/"
    import psycopg

    with psycopg.connect(url + "postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return url + name


def redis_url() -> str:
    """The URL of an empty database on the shared server."""
    from redis import Redis

    port = _shared("redis", redis)
    with _locked("redis-numbers"):
        counter = _HOME / "redis.next"
        number = int(counter.read_text()) if counter.exists() else 0
        counter.write_text(str((number + 1) % 512))
    url = f"redis://127.0.0.1:{port}/{number}"
    with Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType] - its options are untyped
        client.flushdb()  # pyright: ignore[reportUnknownMemberType]
    return url


def databases() -> tuple[str, ...]:
    """Which databases a test that is cheap on both runs on: `$TIDYLLM_TEST_STORE`, else both."""
    chosen = os.environ.get(_CHOICE)
    return (chosen,) if chosen else ("sqlite", "postgresql")


def store_url(dialect: str, folder: Path) -> str:
    """The URL of a new store: a file in `folder`, or a database on the shared server."""
    return postgres_url() if dialect == "postgresql" else f"sqlite:///{folder / 'store.db'}"


# -- the servers that all workers share ------------------------------------------------------------------------------


def _shared(name: str, make: Callable[[Path], Server]) -> int:
    """The port of the shared server of this name; whoever comes first starts a keeper, which outlives workers."""
    note = _HOME / f"{name}.port"
    with _locked(name):
        if not note.exists():
            _start_keeper(name)
        return int(note.read_text())


def _start_keeper(name: str) -> None:
    log = _HOME / f"{name}.log"
    with log.open("wb") as file:
        # It goes on in a child of its own, so that nothing of it is left to wait for here.
        subprocess.run(
            [sys.executable, __file__, name, str(_HOME), str(_run_pid())],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")},
            check=True,
        )
    end = time.monotonic() + _SECONDS
    while not (_HOME / f"{name}.port").exists():
        if (_HOME / f"{name}.failed").exists() or time.monotonic() > end:
            raise RuntimeError(f"{name} does not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def _run_pid() -> int:
    """The process whose end is the end of the run: under xdist the one that started the workers."""
    return os.getppid() if os.environ.get("PYTEST_XDIST_WORKER") else os.getpid()


@contextlib.contextmanager
def _locked(name: str) -> Generator[None]:
    _HOME.mkdir(exist_ok=True)
    _HOME.chmod(0o755)
    with (_HOME / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _keep(name: str, home: Path, run: int) -> None:
    """The keeper: one server, until the run that asked for it has ended, however it ended."""
    server: Server | None = None
    try:
        server = (postgres if name == "postgres" else redis)(home / name)
        server.start()
        whole = home / f"{name}.whole"
        whole.write_text(str(server.port))
        whole.rename(home / f"{name}.port")
        while _lives(run):
            time.sleep(0.2)
    except BaseException:
        (home / f"{name}.failed").touch()
        raise
    finally:
        if server is not None:
            server.close()
        if not _lives(run):
            shutil.rmtree(home, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


# -- programs, users, ports ------------------------------------------------------------------------------------------


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("postgres")
    if program is None:
        _missing("postgres is not installed; `make servers` installs it")
    return Path(program).parent


def _user_for(program: str) -> str | None:
    """Postgres refuses to run as root; then it runs as the user that its package made, and in that group."""
    return "postgres" if os.geteuid() == 0 and program.endswith("postgres") else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgres_answers(server: Server) -> bool:
    import psycopg

    try:
        psycopg.connect(f"postgresql://tidy:pass%2Fword@127.0.0.1:{server.port}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


if __name__ == "__main__":
    if os.fork() == 0:
        _keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
