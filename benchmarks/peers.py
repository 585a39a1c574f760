"""The peers' own environment, `.venv-peers`, pinned by hash in `peers.txt`: how it is made, not what is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "peers_environment", "peers_python"]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-peers"
_PINS = ROOT / "benchmarks" / "peers.txt"


def peers_python() -> Path:
    """The interpreter of that environment, which is made or brought up to date first. Its bytecode is compiled."""
    stamp = HOME / ".ready"
    if not stamp.exists() or stamp.stat().st_mtime < _PINS.stat().st_mtime:
        uv = str(Path(sys.executable).parent / "uv")
        environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        subprocess.run(
            [uv, "venv", "-q", "--clear", "--python", sys.executable, str(HOME)], check=True, env=environment
        )
        python = str(HOME / "bin" / "python")
        command = [
            uv,
            "pip",
            "sync",
            "-q",
            "--require-hashes",
            "--compile-bytecode",
            "--python",
            python,
            str(_PINS),
        ]
        subprocess.run(command, check=True, env=environment)
        stamp.touch()
    return HOME / "bin" / "python"


def peers_environment() -> dict[str, str]:
    """The environment variables with which peers neither call home nor say so."""
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "DO_NOT_TRACK": "1",
        "LANGSMITH_TRACING": "false",
    }
