"""`model("openai/gpt-5.1")`: from a name to a model that can be called. It knows how names are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog
from tidyllm.models.model import Model
from tidyllm.models.provider import Provider, provider

if TYPE_CHECKING:
    from tidyllm.models.http import Transport

__all__ = ["build", "model"]


def model(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    format: str | None = None,
    lenient: bool = False,
    transport: Transport | None = None,
    catalog: Catalog | None = None,
) -> Model:
    """A step from a request (or plain text) to the answer of `name`, which is `kind/model`.

    >>> from tidyllm import model
    >>> model("offline/echo").run_sync("hello").text
    'hello'

    - `name`: `openai/gpt-5.1`, `anthropic/claude-haiku-4-5`, `ollama/qwen3`, `groq/…`, `offline/simulated`; the kinds are
      listed in `tidyllm.models.provider.KINDS`.
    - `base_url`: default: the service's own address. `api_key`: default: its environment variable.
    - `format`: which of the provider's wire formats to speak (`openai_responses` instead of `openai_chat`).
    - `lenient`: leave out and report what the provider has no place for, instead of raising.
    - `transport`: default: the shared pool of connections. `catalog`: default: the one in the package.

    :raises ConfigError: the name has no kind, the kind is unknown, or there is no key.
    """
    kind, slash, bare = name.partition("/")
    if not slash or not bare:
        raise ConfigError(
            f"model name {name!r} does not say who serves it.", hint=f"Write it as kind/model, such as 'openai/{kind}'."
        )
    formats = None if format is None else (format,)
    service = provider(kind, base_url=base_url, api_key=api_key, headers=headers, formats=formats)
    return build(bare, service, lenient=lenient, transport=transport, catalog=catalog)


def build(
    bare: str,
    service: Provider,
    *,
    lenient: bool = False,
    transport: Transport | None = None,
    catalog: Catalog | None = None,
) -> Model:
    """The model called `bare` at `service`, with what the catalogue knows of it."""
    if transport is None and service.kind.name == "offline":
        from tidyllm.models.offline.transport import OfflineTransport

        transport = OfflineTransport()
    info = (catalog or Catalog.default()).find(f"{service.catalog_name}/{bare}")
    return Model(bare, service, transport=transport, info=info, lenient=lenient)
