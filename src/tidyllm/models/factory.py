"""`model("openai/gpt-5.1")`: from a name to a model that can be called. It knows how names are read."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.models.model import Model
from tidyllm.models.provider import Provider, provider

if TYPE_CHECKING:
    from tidyllm.models.http import Transport
    from tidyllm.models.touch import Touch

__all__ = ["build", "known_at", "model"]


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
    like: str | None = None,
    regions: Sequence[str] = (),
    residency: Sequence[str] = (),
    profile: str | None = None,
) -> Model:
    """A step from a request (or plain text) to the answer of `name`, which is `kind/model`.

    >>> from tidyllm import model
    >>> model("offline/echo").run_sync("hello").text
    'hello'

    - `name`: `openai/gpt-5.1`, `anthropic/claude-haiku-4-5`, `ollama/qwen3`, `groq/…`, `offline/simulated`; the kinds
      are listed in `tidyllm.models.provider.KINDS`.
    - `base_url`: default: the service's own address.
    - `api_key`: default: at the service's own address its environment variable (`OPENAI_API_KEY`), elsewhere none.
    - `format`: which of the provider's wire formats to speak (`openai_responses` instead of `openai_chat`).
    - `lenient`: leave out and report what the provider has no place for, instead of raising.
    - `transport`: default: the shared pool of connections.
    - `catalog`: default: the one in the package. It knows a model where the service itself sells it; what a server at
      another address asks for it is unknown.
    - `like`: the model of the catalogue whose window, abilities and prices hold here too (`openai/gpt-5.1` behind a
      proxy of your own).
    - `regions`, `residency`, `profile`: of `bedrock/…` only: where to call, in order (default: the environment's or the
      profile's region); places that data never leave (`["eu"]`); the profile of AWS's files whose credentials sign.

    :raises ConfigError: the name has no kind, the kind is unknown, there is no key, or `like` is not in the catalogue.
    """
    kind, slash, bare = name.partition("/")
    known = catalog or Catalog.default()
    if not (kind and slash and bare):
        near = [] if slash else known.near(name[:80], 1)
        raise ConfigError(
            f"model name {name!r} does not say {'which model' if slash and kind else 'who serves it'}.",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else "Write it as kind/model, such as 'openai/gpt-5-mini'.",
        )
    own: tuple[str, ...] = ()
    if like is not None:
        known, own = known.with_({name: {"like": like}}, where="model"), (name,)
    if residency and kind != "bedrock":
        raise ConfigError(f"where {name!r} sends data is not known here.", where="residency")
    formats = None if format is None else (format,)
    service = provider(
        kind,
        base_url=base_url,
        api_key=api_key,
        headers=headers,
        formats=formats,
        regions=regions,
        residency=residency,
        profile=profile,
    )
    return build(bare, service, lenient=lenient, transport=transport, catalog=known, own=own)


def build(
    bare: str,
    service: Provider,
    *,
    lenient: bool = False,
    transport: Transport | None = None,
    catalog: Catalog | None = None,
    own: Container[str] = (),
    touch: Touch | None = None,
) -> Model:
    """The model called `bare` at `service`, with what the catalogue knows of it.

    `own`: names in `catalog` that the user has put there under the name he gave to the service (`main/gpt-5-mini`);
    they stand before what the catalogue says of the service itself. `touch`: see `Model`.
    """
    if transport is None and service.kind.name == "offline":
        from tidyllm.models.offline.transport import OfflineTransport

        transport = OfflineTransport(keep=0)
    if service.cloud is not None:
        known = (catalog or Catalog.default(), own)
        return _at_bedrock(bare, service, service.cloud.regions, known, lenient=lenient, transport=transport)
    info = _info(bare, service, catalog or Catalog.default(), own)
    return Model(bare, service, transport=transport, info=info, lenient=lenient, touch=touch)


def _at_bedrock(
    bare: str,
    service: Provider,
    regions: tuple[str, ...],
    known: tuple[Catalog, Container[str]],
    **more: Any,
) -> Model:
    from tidyllm.models.bedrock.model import BedrockModel
    from tidyllm.models.bedrock.prices import info_at

    catalog, own = known
    told = f"{service.name}/{bare}" in own
    infos = {
        region: info_at(bare, region, lambda name: _info(name, service, catalog, own), own=told)
        for region in regions
    }
    return BedrockModel(bare, service, infos=infos, **more)


def _info(bare: str, service: Provider, catalog: Catalog, own: Container[str]) -> ModelInfo | None:
    """Who sells the model decides its price: a proxy or a reseller at another address has prices that we do not know,
    even where the models have the same names. A machine of one's own costs nothing, wherever it stands.
    """
    name = f"{service.name}/{bare}"
    if name in own:
        return catalog.find(name)
    if catalog.provider_at(service.base_url) is not None:
        return catalog.sold_at(service.base_url, bare)
    info = catalog.find(f"{service.catalog_name}/{bare}")
    return info if info is not None and (service.is_own_address or info.local) else None


def known_at(service: Provider, catalog: Catalog, own: Container[str] = ()) -> list[str]:
    """Names of models that `service` is known to serve, as its own callers write them: for lists, never for prices.

    Those that the user has told of it (`own`, see `build`), and what the catalogue knows where the service stands at
    its seller's address. What a server elsewhere holds nobody knows; at Azure models have names of their owner's
    choice.
    """
    seller = catalog.provider_at(service.base_url)
    if seller is None and service.kind.base_url and service.is_own_address:
        seller = service.catalog_name
    known: list[str] = []
    for info in catalog:
        for name in (info.name, *info.aliases):
            who, _, bare = name.partition("/")
            if who == seller or (who == service.name and name in own):
                known.append(bare)
    return known
