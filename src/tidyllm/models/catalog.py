"""What is known of each model: window, abilities, prices with source and date. It computes no cost and
asks nobody.

The data is `catalog.toml` and `catalog_clouds.toml` (Bedrock, Vertex) beside this file, read when the default
catalogue is first asked for. Prices
are exact `Decimal` US dollars per million tokens. What is not known is None, never 0: a wrong price is
worse than none, so names are never matched loosely.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.models.model_info import Ability, Hours, LongRates, ModelInfo, Prices, ProviderInfo, Rates

__all__ = ["Ability", "Catalog", "Hours", "LongRates", "ModelInfo", "Prices", "ProviderInfo", "Rates"]


class Catalog:
    """Models by name. It never changes: `with_` gives a new one.

    `find` knows a name exactly, by an alias, or by this rule: a name that ends with the date of a
    snapshot (`-2025-11-13` or `-20251113`) and has no entry of its own is the model without it. A
    snapshot that costs something else than its model therefore needs its own entry.
    """

    __slots__ = ("_models", "_names", "_providers")

    def __init__(
        self, models: Iterable[ModelInfo], providers: Mapping[str, ProviderInfo] | None = None
    ) -> None:
        """:raises ConfigError: two models claim the same name."""
        self._models: dict[str, ModelInfo] = {}
        self._names: dict[str, ModelInfo] = {}
        self._providers = dict(providers or {})
        for model in models:
            self._models[model.name] = model
            for name in (model.name, *model.aliases):
                if name in self._names:
                    raise ConfigError(f"{name!r} names two models", where=f"catalog.{model.name}")
                self._names[name] = model

    @staticmethod
    def default() -> Catalog:
        """The catalogue of this package, read once."""
        return _default()

    @classmethod
    def loads(cls, text: str) -> Catalog:
        """A catalogue from TOML text in the form of `catalog.toml`.

        :raises ConfigError: the text is not TOML, or an entry is malformed; it names the entry and the
        field.
        """
        try:
            data = tomllib.loads(text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"not TOML: {error}", where="catalog") from error
        file = _converted(data, _File, "catalog")
        models = {
            entry.get("name", f"model[{index}]"): _with_provider(entry, file.provider)
            for index, entry in enumerate(file.model)
        }
        if len(models) < len(file.model):
            raise ConfigError("two entries have one name", where="catalog")
        return cls((_model(name, fields, "catalog") for name, fields in models.items()), file.provider)

    def find(self, name: str) -> ModelInfo | None:
        """What is known of the model `provider/model`; None when it is not in the catalogue."""
        found = self._names.get(name)
        if found is None and (dated := _SNAPSHOT.fullmatch(name)):
            found = self._names.get(dated[1])
        if found is None:
            provider, _, model = name.partition("/")
            about = self._providers.get(provider)
            if about is not None and about.local and model and not model.endswith(about.remote_suffixes):
                return ModelInfo(name=name, local=True, prices=_FREE, source=about.source)
            if about is not None and about.bill is not None and model:
                return ModelInfo(name=name, bill=about.bill, source=about.source)
        return found

    def near(self, name: str, limit: int = 3) -> list[str]:
        """Names that look like `name`, best first, for "did you mean"; never for finding a price."""
        # Without a provider the names are compared without theirs, and one model may be at several.
        names = {known if "/" in name else known.partition("/")[2]: known for known in reversed(self._names)}
        return [names[near] for near in difflib.get_close_matches(name, names, n=limit, cutoff=0.7)]

    def provider_at(self, base_url: str) -> str | None:
        """The provider whose API is at this URL, as names here begin with it; None for any other host."""
        host = urlsplit(base_url).hostname or ""
        for name, provider in self._providers.items():
            if any(host == known or host.endswith(f".{known}") for known in provider.hosts) or (
                _region(host, provider) is not None
            ):
                return name
        return None

    def sold_at(self, base_url: str, model: str) -> ModelInfo | None:
        """What is known of `model` where it is sold at this address, with the price of the region in the host's name.

        None when no provider is at the address, or it sells no such model. At a host of a provider that may be a
        region of which nothing is known (`mars.api.openai.com`) the price is unknown.
        """
        provider = self.provider_at(base_url)
        info = None if provider is None else self.find(f"{provider}/{model}")
        if provider is None or info is None:
            return None
        host, about = urlsplit(base_url).hostname or "", self._providers[provider]
        region = _region(host, about)
        if region is None and host not in about.hosts and about.regions:
            region = host.partition(".")[0]
        elif region not in info.service:
            return info  # the list price holds in this region too
        return msgspec.structs.replace(info, always=(*info.always, region or ""))

    def with_(self, more: Iterable[ModelInfo] | Mapping[str, Any], *, where: str = "catalog") -> Catalog:
        """This catalogue and more models; they take over names that are here already.

        A mapping has the fields of `ModelInfo` by name, as configuration files write them. The field
        `like` there names a model of this catalogue whose facts are taken over where the entry says
        nothing else.

        :raises ConfigError: an entry is malformed; it names the entry and the field, beginning with
        `where`.
        """
        if isinstance(more, Mapping):
            added = [self._from_config(str(name), fields, where) for name, fields in more.items()]  # pyright: ignore[reportUnknownVariableType]
        else:
            added = list(more)
        taken = {name for model in added for name in (model.name, *model.aliases)}
        kept = [
            msgspec.structs.replace(model, aliases=tuple(name for name in model.aliases if name not in taken))
            for model in self
            if model.name not in taken
        ]
        return Catalog([*kept, *added], self._providers)

    def _from_config(self, name: str, fields: Any, where: str) -> ModelInfo:
        if not isinstance(fields, Mapping):
            raise ConfigError("expected the model's fields", where=f"{where}.{name}")
        entry: dict[str, Any] = dict(fields)  # pyright: ignore[reportUnknownArgumentType]
        like = entry.pop("like", None)
        model = _model(name, entry, where)
        if like is None:
            return model
        base = self.find(like) if isinstance(like, str) else None
        if base is None:
            near = ", ".join(self.near(str(like)))
            hint = f"Did you mean {near}?" if near else None
            raise ConfigError(f"{like!r} is not in the catalogue.", where=f"{where}.{name}.like", hint=hint)
        own = {field: getattr(model, field) for field in ("name", "aliases", *entry)}
        return msgspec.structs.replace(base, **own)

    def __iter__(self) -> Iterator[ModelInfo]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)


_SNAPSHOT = re.compile(r"(.+)-20\d\d(?:-[01]\d-[0-3]\d|[01]\d[0-3]\d)")
_FREE = msgspec.convert(dict.fromkeys(Rates.__struct_fields__, 0), Prices)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    model: list[dict[str, Any]]
    provider: dict[str, ProviderInfo] = {}


@cache
def _default() -> Catalog:
    here = resources.files("tidyllm.models")
    files = (
        here.joinpath(name).read_text(encoding="utf-8") for name in ("catalog.toml", "catalog_clouds.toml")
    )
    return Catalog.loads("\n".join(files))


def _with_provider(entry: dict[str, Any], providers: Mapping[str, ProviderInfo]) -> dict[str, Any]:
    """The entry with what holds for all models of its provider, where it does not say it itself."""
    provider = providers.get(str(entry.get("name", "")).partition("/")[0])
    if provider is None:
        return entry
    common: dict[str, Any] = {"source": provider.source}
    if provider.fees:
        common["fees"] = provider.fees
    if provider.bill:
        common["bill"] = provider.bill
    return {**common, **entry}


def _region(host: str, provider: ProviderInfo) -> str | None:
    return next((region for end, region in provider.regions.items() if host.endswith(end)), None)


def _model(name: str, fields: Mapping[str, Any], where: str) -> ModelInfo:
    return _converted({"name": name, **fields}, ModelInfo, f"{where}.{name}")


_T = TypeVar("_T")


def _converted(data: Any, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        unknown = re.search(r"unknown field `(.+)`", message)
        near = difflib.get_close_matches(unknown[1], _FIELDS, n=1) if unknown else []
        hint = f"Did you mean `{near[0]}`?" if near else None
        raise ConfigError(f"{message}.", where=where + path.rstrip("`"), hint=hint) from error


_FIELDS = {
    field for kind in (ModelInfo, Prices, LongRates, Hours, ProviderInfo) for field in kind.__struct_fields__
}
