"""`tidyllm serve`: the words on the screen around the server."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from tidyllm.cli.settings import chosen_file
from tidyllm.config.defaults import ADDRESSES, address_of
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.gateway.serve import Started

__all__ = ["run"]


def run(config: str | None, env: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until a signal says to stop."""
    try:
        from tidyllm.gateway.serve import serve
        from tidyllm.gateway.worker import Source
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the gateway needs the package {error.name!r}.",
            hint="Install it with: pip install 'tidyllm[all]'",
        ) from error
    file = chosen_file(config, env)

    def tell(started: Started) -> None:
        sys.stderr.write(_words(started))
        sys.stderr.flush()

    serve(Source(None if file is None else str(file), env), host=host, port=port, workers=workers, tell=tell)
    sys.stderr.write("tidyllm: stopped\n")


def _words(started: Started) -> str:
    routes, url = started.routes, started.url
    names = [*routes, *routes.patterns]
    workers = f", {started.workers} workers" if started.workers > 1 else ""
    lines = [
        f"tidyllm gateway on {url}{workers}",
        f"  models  {', '.join(names[:6])}{' …' if len(names) > 6 else ''}",
    ]
    lines += _addresses(started) if started.from_environment else []
    simulated = [one.name for one in routes.providers.values() if one.kind.name == "offline"]
    if simulated and started.from_environment:
        lines += [
            "  NOTE    No provider's key is set: every answer is SIMULATED by the offline",
            "          model. Set OPENAI_API_KEY or ANTHROPIC_API_KEY, or write tidyllm.yaml.",
        ]
    elif simulated:
        lines.append(
            f"  NOTE    Answers of provider {', '.join(simulated)} are simulated by the offline model."
        )
    if started.key_file is not None:
        lines.append(f"  key     in {started.key_file}")
        key = f"$(cat {shlex.quote(str(started.key_file))})"
    else:
        lines.append("  key     as given")
        key = "$TIDYLLM_MASTER_KEY"
    model = next((name for name in names if "*" not in name), None) or names[0].replace("*", "MODEL")
    lines += [
        f"  OpenAI clients: base_url={url}/v1   Anthropic clients: base_url={url}",
        f"  try     curl {url}/v1/chat/completions \\",
        f'            -H "Authorization: Bearer {key}" \\',
        f'            -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
    ]
    return "\n".join(lines) + "\n"


def _addresses(started: Started) -> list[str]:
    """Where the environment sends us, so that nobody wonders who answered."""
    lines: list[str] = []
    for kind, variable in ADDRESSES.items():
        url = address_of(kind, os.environ)
        if url is not None and kind in started.routes.providers:
            lines.append(f"  address {kind} at {url} ({variable})")
        elif url is not None:
            lines.append(f"  NOTE    Nothing listens at {url} ({variable}).")
    return lines
