"""What to say when a package of an extra is not installed. It knows which extra brings which package, and no more."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from tidyllm.errors.base import ConfigError

__all__ = ["installed", "missing"]

_EXTRA_OF = {
    "alembic": "store",
    "botocore": "bedrock",
    "dbos": "durable",
    "dspy": "dspy",
    "httptools": "gateway",
    "jwt": "sso",
    "libcst": "migrate",
    "matplotlib": "routing",
    "mcp": "agents",
    "mcp_types": "agents",
    "numpy": "routing",
    "opentelemetry": "observe",
    "prometheus_client": "observe",
    "psycopg": "postgres",
    "redis": "redis",
    "rs_bpe": "tokens",
    "sklearn": "routing",
    "sqlalchemy": "store",
    "starlette": "gateway",
    "structlog": "observe",
    "uvicorn": "gateway",
}


def missing(error: ModuleNotFoundError, extra: str | None = None) -> ConfigError | None:
    """The error that says what to install; None when the package is of no extra of ours.

    `extra`: the one to name, where a larger one than the package's own is needed.
    """
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRA_OF:
        return None
    return ConfigError(
        f"this needs the package {package!r}, which is not installed.",
        hint=f"Install it with: pip install 'tidyllm[{extra or _EXTRA_OF[package]}]'",
    )


@contextmanager
def installed(extra: str | None = None) -> Generator[None]:
    """Around imports: a package of an extra that is not there is an error that says what to install.

    :raises ConfigError: that.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        said = missing(error, extra)
        if said is None:
            raise
        raise said from error
