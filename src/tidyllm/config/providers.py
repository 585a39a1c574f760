"""A provider from its settings, with its secrets. It knows no routes."""

from __future__ import annotations

from tidyllm.config.schema import ProviderSettings
from tidyllm.config.secrets import secret
from tidyllm.errors import ConfigError
from tidyllm.models.provider import Provider, provider

__all__ = ["provider_of"]


def provider_of(name: str, settings: ProviderSettings, *, only_shown: bool) -> Provider:
    """The provider called `name`. `only_shown`: nobody will call it, so no secret need be there.

    :raises ConfigError: it cannot be, or a secret is missing; `where` names it.
    """
    where = f"providers.{name}"
    key: str | None = "not needed" if only_shown else None
    headers: dict[str, str] = {}
    if not only_shown:
        if settings.api_key is not None:
            key = secret(settings.api_key, where=f"{where}.api_key")
        for header, value in settings.headers.items():
            headers[header] = secret(value, where=f"{where}.headers.{header}")
    try:
        return provider(
            settings.kind,
            name=name,
            base_url=settings.base_url,
            api_key=key,
            headers=headers,
            formats=settings.formats,
            regions=settings.called,
            residency=settings.residency,
            profile=settings.profile,
        )
    except ConfigError as error:
        said = error.message.removeprefix(f"{error.where}: ")
        raise ConfigError(said, where=where, hint=error.hint) from None
