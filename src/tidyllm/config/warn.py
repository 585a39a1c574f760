"""What is allowed in a configuration but seldom meant, or will fail when it is used here. It looks at variables and
files that secrets refer to, and reads none of them. Times that contradict each other belong here as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidyllm.config.problem import Problem, Where
from tidyllm.config.schema import ModelSettings, ProviderSettings, Settings, TimeoutSettings, is_reference
from tidyllm.models.provider import KINDS, is_own_address

__all__ = ["warnings"]

_SECRET_HEADERS = ("authorization", "key", "token", "secret", "cookie", "password")


def warnings(settings: Settings, environment: Mapping[str, str] = os.environ) -> Iterator[Problem]:
    """Problems that keep nothing from being built: secrets in plain text, or not there on this machine, and clocks of
    which one never rings because of another.
    """
    if settings.server.master_key is not None:
        yield from _reference(settings.server.master_key, ("server", "master_key"), environment)
    used = {target.partition("/")[0] for model in settings.models.values() for target in model.route}
    for name, provider in settings.providers.items():
        where = ("providers", name)
        yield from _keys(provider, where, environment)
        if name not in used:
            yield Problem(where, "no route leads to this provider.")
    for name, model in settings.models.items():
        yield from _clocks(model, ("models", name))


_UNSAID = TimeoutSettings()


def _clocks(model: ModelSettings, where: Where) -> Iterator[Problem]:
    """Times that contradict each other. A default is never blamed: whoever says only one of two means that one."""
    timeout, retry, deadline = model.timeout, model.retry, model.deadline
    for key in ("first_piece", "gap"):
        seconds: float | None = getattr(timeout, key)
        if seconds is None or seconds == getattr(_UNSAID, key):
            continue
        if timeout.total is not None and seconds > timeout.total:
            message = f"{seconds:g} s is longer than the whole attempt may take ({timeout.total:g} s)."
            yield Problem((*where, "timeout", key), message, "Make it shorter than timeout.total.")
    if deadline is None:
        return
    again = retry.attempts > 1 or len(model.route) > 1
    if timeout.total is not None and timeout.total != _UNSAID.total:
        total = f"{timeout.total:g} s for one attempt"
        if timeout.total > deadline:
            message = f"{total} is longer than the deadline of all of them ({deadline:g} s)."
            yield Problem((*where, "timeout", "total"), message, "Make it shorter than the deadline.")
        elif timeout.total == deadline and again:
            message = (
                f"{total} is the whole deadline: after one that takes too long there is no time for another."
            )
            yield Problem((*where, "timeout", "total"), message, "Make it shorter than the deadline.")
    if retry.attempts > 1 and min(retry.base, retry.cap) >= deadline:
        message = (
            f"the first pause may take {min(retry.base, retry.cap):g} s, and the deadline is {deadline:g} s."
        )
        yield Problem((*where, "retry", "base"), message, "Most second attempts would come too late.")
    if model.limit is not None and model.limit.max_wait is not None and model.limit.max_wait > deadline:
        message = (
            f"{model.limit.max_wait:g} s is longer than the deadline ({deadline:g} s), which ends the wait."
        )
        yield Problem((*where, "limit", "max_wait"), message)


def _keys(provider: ProviderSettings, where: Where, environment: Mapping[str, str]) -> Iterator[Problem]:
    kind = KINDS[provider.kind]
    if provider.api_key is not None:
        yield from _reference(provider.api_key, (*where, "api_key"), environment)
    elif (
        kind.key_variable
        and is_own_address(kind, provider.base_url)
        and not environment.get(kind.key_variable)
    ):
        message = f"there is no api_key, and {kind.key_variable} is not set here."
        yield Problem(where, message, f"Set {kind.key_variable}, or write api_key.")
    for header, value in provider.headers.items():
        if is_reference(value) or any(word in header.lower() for word in _SECRET_HEADERS):
            yield from _reference(value, (*where, "headers", header), environment)


def _reference(value: str, where: Where, environment: Mapping[str, str]) -> Iterator[Problem]:
    kind, _, name = value.partition(":")
    if not is_reference(value):
        yield Problem(where, "the secret stands here in plain text.", "Write env:NAME or file:PATH.")
    elif kind == "env" and not environment.get(name, "").strip():
        yield Problem(where, f"environment variable {name} is not set here.")
    elif kind == "file" and not os.access(Path(name).expanduser(), os.R_OK):
        yield Problem(where, f"the secret file {name} cannot be read here.")
