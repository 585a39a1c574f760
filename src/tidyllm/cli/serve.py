"""`tidyllm serve`: the words on the screen around the server."""

from __future__ import annotations

import sys

from tidyllm.cli.settings import chosen_file
from tidyllm.errors import ConfigError

__all__ = ["run"]


def run(config: str | None, env: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until a signal says to stop."""
    try:
        from tidyllm.gateway.serve import Started, serve
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


def _words(started: object) -> str:
    from tidyllm.gateway.serve import Started

    assert isinstance(started, Started)
    routes = started.routes
    lines = [
        f"tidyllm gateway on {started.url}" + (f", {started.workers} workers" if started.workers > 1 else "")
    ]
    names = [*routes, *routes.patterns]
    lines.append(f"  models   {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
    simulated = [one.name for one in routes.providers.values() if one.kind.name == "offline"]
    if simulated and started.from_environment:
        lines.append(
            "  NOTE     No provider key was found in the environment: every answer is SIMULATED by the offline model."
        )
        lines.append(
            "           Set OPENAI_API_KEY or ANTHROPIC_API_KEY, or write a tidyllm.yaml, for real ones."
        )
    elif simulated:
        lines.append(
            f"  NOTE     Answers of provider {', '.join(simulated)} are simulated by the offline model."
        )
    if started.key_file is not None:
        lines.append(f"  key      in {started.key_file} (set TIDYLLM_MASTER_KEY to choose your own)")
        key = f'"$(cat {started.key_file})"'
    else:
        lines.append("  key      as given")
        key = '"$TIDYLLM_MASTER_KEY"'
    model = next((name for name in names if "*" not in name), None) or names[0].replace("*", "MODEL")
    lines.append(f"  OpenAI   base_url={started.url}/v1   Anthropic  base_url={started.url}")
    lines.append(f'  try      curl {started.url}/v1/chat/completions -H "Authorization: Bearer "{key} \\')
    lines.append(
        f'             -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\''
    )
    return "\n".join(lines) + "\n"
