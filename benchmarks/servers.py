"""Servers for the gateway's benchmarks, each on a free loopback port and pinned to a core; ended by their own pid."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import ROOT, peers_environment, peers_python

__all__ = [
    "KEY",
    "first_answer",
    "free_port",
    "litellm",
    "memory_mib",
    "nginx",
    "pinned",
    "stream_upstream",
    "tidyllm",
    "wrk",
]

KEY = "sk-benchmark-key-of-the-gateway"
ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-5-mini","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"Hello there, how can I help you today?"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":21,"completion_tokens":12,"total_tokens":33}}'
)
BODY = (
    '{"model":"fast","messages":[{"role":"system","content":"You are a helpful assistant."},'
    '{"role":"user","content":"Hello, how are you today?"}],"temperature":0.7}'
)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core: int, command: list[str]) -> list[str]:
    """The command, bound to one core."""
    return ["taskset", "-c", str(core), *command]


@contextmanager
def _running(
    command: list[str], port: int, environment: Mapping[str, str], cwd: Path
) -> Generator[subprocess.Popen[bytes]]:
    with (cwd / "output.log").open("wb") as log:
        process = subprocess.Popen(command, env=dict(environment), cwd=cwd, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 90
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command} did not start:\n{(cwd / 'output.log').read_text()[-2000:]}")
            time.sleep(0.002)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(cwd, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="tidyllm-bench-"))


@contextmanager
def nginx(core: int, *, proxy_to: int | None = None) -> Generator[int]:
    """An upstream with one fixed answer; or a proxy to a port that checks the key, the limit of what is possible."""
    port, folder = free_port(), _folder()
    location = f"default_type application/json; return 200 '{ANSWER}';"
    if proxy_to is not None:
        check = f'if ($http_authorization != "Bearer {KEY}") {{ return 401; }}'
        location = f'{check} proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";'
    upstream = (
        f"upstream up {{ server 127.0.0.1:{proxy_to}; keepalive 64; keepalive_requests 1000000; }}"
        if proxy_to
        else ""
    )
    (folder / "nginx.conf").write_text(
        f"""worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 4096; }}
        http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}; proxy_temp_path {folder};
          fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
          {upstream} server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {location} }} }} }}"""
    )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    command = pinned(
        core, [binary, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")]
    )
    with _running(command, port, os.environ, folder):
        yield port


@contextmanager
def tidyllm(
    core: int,
    upstream: int,
    *,
    traces: bool,
    cores: str = "",
    workers: int = 1,
    sections: str = "",
    route: str = "",
    variables: Mapping[str, str] | None = None,
) -> Generator[tuple[int, int]]:
    """Our gateway; metrics are on, spans go out by OTLP with `traces`. Its port and its pid.

    `sections` and `route` are more lines of its configuration; `cores` is in place of the one core.
    """
    port, folder = free_port(), _folder()
    (folder / "tidyllm.yaml").write_text(
        f"""
server: {{port: {port}}}
providers:
  main: {{kind: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: "env:UPSTREAM_KEY"}}
models:
  fast:
    route: [main/gpt-5-mini]
    deadline: 120
    retry: {{attempts: 3, base: 0.25, cap: 8}}
    timeout: {{total: 60, first_piece: 15, gap: 15}}
    breaker: {{failures: 5, window: 30, cooldown: 10}}
{route}
{sections}
observe: {{metrics: true, traces: {"otlp" if traces else "off"}, log: json}}
"""
    )
    environment = {
        **os.environ,
        "TIDYLLM_MASTER_KEY": KEY,
        "UPSTREAM_KEY": "sk-upstream",
        **(variables or {}),
    }
    # The upstream takes the spans as well: it answers 200 to whatever is posted.
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{upstream}"
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    serve = [str(Path(sys.executable).parent / "tidyllm"), "serve", "--workers", str(workers)]
    command = ["taskset", "-c", cores or str(core), *serve]
    with _running(command, port, environment, folder) as process:
        yield port, process.pid


@contextmanager
def litellm(core: int, upstream: int) -> Generator[tuple[int, int]]:
    """LiteLLM's proxy with one worker, as its own guide to production tunes it. Its port and its pid."""
    peers_python()
    port, folder = free_port(), _folder()
    (folder / "config.yaml").write_text(
        f"""
model_list:
  - model_name: fast
    litellm_params: {{model: openai/gpt-5-mini, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream}}
router_settings: {{num_retries: 2, timeout: 60}}
litellm_settings: {{set_verbose: false, json_logs: false, drop_params: true}}
general_settings: {{master_key: {KEY}}}
"""
    )
    binary = ROOT / ".venv-peers" / "bin" / "litellm"
    arguments = ["--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    command = pinned(core, [str(binary), *arguments])
    environment = {
        **peers_environment(),
        "LITELLM_MODE": "PRODUCTION",
        "PATH": f"{binary.parent}:{os.environ['PATH']}",
    }
    with _running(command, port, environment, folder) as process:
        yield port, process.pid


@contextmanager
def stream_upstream(core: int) -> Generator[int]:
    """An upstream whose every answer is a stream of 200 events."""
    port, folder = free_port(), _folder()
    command = pinned(core, [sys.executable, str(ROOT / "benchmarks" / "stream_upstream.py"), str(port)])
    with _running(command, port, os.environ, folder):
        yield port


def first_answer(port: int, *, key: str = KEY) -> None:
    """Wait until a request is answered with 200."""
    until = time.monotonic() + 60
    while True:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            BODY.encode(),
            {"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def wrk(
    core: int, port: int, *, connections: int = 32, seconds: int = 6, key: str = KEY
) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds."""
    folder = _folder()
    script = folder / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{BODY}]]\nwrk.headers["content-type"] = "application/json"\n'
        f'wrk.headers["authorization"] = "Bearer {key}"\n'
    )
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}",
        "--latency",
        "--timeout",
        "30s",
        "-s",
        str(script),
    ]
    command.append(f"http://127.0.0.1:{port}/v1/chat/completions")
    out = subprocess.run(pinned(core, command), capture_output=True, text=True, check=True).stdout
    shutil.rmtree(folder, ignore_errors=True)
    if "Non-2xx" in out:
        raise RuntimeError(f"the server answered with errors:\n{out}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert slow is not None
    return rate, float(slow[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]


def memory_mib(pid: int) -> float:
    """Resident memory of a process and all below it."""
    total = 0
    todo = [pid]
    while todo:
        one = todo.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        total += int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
        todo += [int(child) for child in children.split()]
    return total / 1024
