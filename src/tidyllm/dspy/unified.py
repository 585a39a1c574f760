"""`UnifiedDSPyWrapper`: one wrapper for any module or signature. It knows modules and names; backends know the rest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import dspy
import msgspec

from tidyllm.dspy.backends import Spec
from tidyllm.dspy.configs import UnifiedConfig
from tidyllm.dspy.engine import AsyncEngine, Engine
from tidyllm.dspy.foreign import settings
from tidyllm.dspy.language_model import LM
from tidyllm.dspy.meter import ModuleMetrics
from tidyllm.dspy.module import UnifiedModule, unified
from tidyllm.dspy.source import Source
from tidyllm.errors import ConfigError
from tidyllm.models.catalog import Catalog
from tidyllm.models.pricing import cost_usd
from tidyllm.models.provider import KINDS
from tidyllm.models.response import Usage

__all__ = ["UnifiedDSPyWrapper"]

_BYTES = 4
"""Bytes of a text for each token, as English has about."""


class UnifiedDSPyWrapper:
    """Retries, cache, validation, budget and metrics for DSPy programs, whichever backend answers.

    >>> wrapper = UnifiedDSPyWrapper(UnifiedConfig(backend="offline"))    # doctest: +SKIP
    >>> qa = wrapper.create_module("qa", "question -> answer")            # doctest: +SKIP
    >>> qa(question="Why?").answer                                        # doctest: +SKIP

    Nothing is looked up or connected before the first call.
    """

    def __init__(self, config: UnifiedConfig | None = None) -> None:
        """:raises ConfigError: `config` is none."""
        if config is not None and not isinstance(config, UnifiedConfig):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigError(
                f"got a {type(config).__name__}, expected a UnifiedConfig.", where="UnifiedDSPyWrapper.config"
            )
        self.config = config or UnifiedConfig()
        self.modules: dict[str, UnifiedModule] = {}
        self._lms: dict[tuple[str | None, str | None], Any] = {}

    # -- language models

    @property
    def lm(self) -> Any:
        """The `dspy.LM` of this wrapper: `dspy.configure(lm=wrapper.lm)`."""
        return self._lm(None)

    def _lm(self, model: str | None) -> Any:
        config = self.config
        if model is None and config.backend == "auto" and config.route is config.model is None:
            adopted = self._adopted()
            if adopted is not None:
                return adopted
        key = (model, None)
        if key not in self._lms:
            self._lms[key] = self._made(self._spec(model))
        return self._lms[key]

    def _spec(self, model: str | None) -> Spec:
        config = self.config
        named = model is None
        return Spec(
            backend=config.backend,
            route=config.route if named else None,
            model=config.model if named else model,
            base_url=config.base_url,
            api_key=config.api_key,
            region=config.region,
            regions=tuple(config.regions),
            residency=tuple(config.residency),
            profile=config.profile,
            config=config.config,
            retry=None if config.retry is None else config.retry.settings(),
            cache=None if config.cache is None else config.cache.settings(),
        )

    def _made(self, spec: Spec, **adopted: Any) -> LM:
        source = Source(spec.name, spec=spec)
        given: dict[str, Any] = {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens}
        own = {name: value for name, value in given.items() if value is not None}
        return LM(
            spec.name,
            cache=False,
            num_retries=0,
            engine=Engine(source),
            async_engine=AsyncEngine(source),
            **{**adopted, **own},
        )

    def _adopted(self) -> Any:
        """What the program has configured for DSPy, with this wrapper's retries and cache; None where it has nothing.

        A language model that DSPy itself would call is called by us, under the same name and settings. One with an
        engine of its own stays as it is.
        """
        given: Any = settings.lm
        if given is None:
            return None
        spec = _same(given, self._spec(None))
        if spec is None:
            mine = any(given is one for one in self._lms.values())  # a module inside one of ours
            if not mine and not self.config.retry is self.config.cache is None:
                warnings.warn(
                    f"tidyllm.dspy: the configured {type(given).__name__} has an engine of its own; retry and cache of"
                    " UnifiedConfig do not apply to it. Name a model or a route to have them.",
                    UserWarning,
                    stacklevel=3,
                )
            return given
        key = (spec.model, spec.base_url)
        if key not in self._lms:
            kwargs = cast("dict[str, Any]", given.kwargs)
            own = {
                name: value for name, value in kwargs.items() if name not in _OF_CLIENTS and value is not None
            }
            self._lms[key] = self._made(spec, model_type=given.model_type, **own)
        return self._lms[key]

    # -- modules

    def create_module(
        self, name: str, signature: Any, model: str | None = None, *, kind: Any = None
    ) -> UnifiedModule:
        """A module called `name` for a signature: `kind(signature)`, by default `dspy.Predict`.

        `model`: of this module alone, in place of the wrapper's. A module of that name before is replaced.

        :raises ConfigError: `signature` is neither a module nor a signature.
        """
        if not isinstance(signature, dspy.Module | str) and not (
            isinstance(signature, type) and issubclass(signature, dspy.Signature)
        ):
            raise ConfigError(
                f"{signature!r} is neither a module nor a signature.",
                where=f"create_module({name!r})",
                hint="Give a dspy.Module, 'question -> answer', or a class of dspy.Signature.",
            )
        inner = signature if isinstance(signature, dspy.Module) else (kind or dspy.Predict)(signature)
        lm = (lambda: self._lm(None)) if model is None else (lambda: self._lm(model))
        made = unified(inner, name, lm, self.config.validation, self.config.budget)
        self.modules[name] = made
        return made

    def wrap(self, module: Any, name: str | None = None, *, model: str | None = None) -> UnifiedModule:
        """A module, a class of modules without arguments, or a signature (text or class), wrapped.

        `name`: default: its class's name, with a number where that is taken.
        """
        if isinstance(module, type) and issubclass(module, dspy.Module):
            module = module()
        named = name or (type(module).__name__ if isinstance(module, dspy.Module) else _name_of(module))
        if name is None:
            named = self._free(named)
        return self.create_module(named, module, model)

    def __call__(self, module: Any, name: str | None = None) -> UnifiedModule:
        """As `wrap`."""
        return self.wrap(module, name)

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self.modules:
            number += 1
            free = f"{name}-{number}"
        return free

    def __getitem__(self, name: str) -> UnifiedModule:
        """The module of that name. :raises KeyError: there is none."""
        return self.modules[name]

    @property
    def metrics(self) -> Mapping[str, ModuleMetrics]:
        """By module, what it has used so far."""
        return {name: module.metrics for name, module in self.modules.items()}

    @property
    def cost_usd(self) -> Decimal:
        """What all modules have cost, as far as that is known."""
        return sum((one.cost_usd for one in self.metrics.values()), Decimal(0))

    # -- the rest

    def estimate_cost(
        self, prompt: str | int = "", output_tokens: int = 500, model: str | None = None
    ) -> Decimal | None:
        """About what one call costs in US dollars at the list price; None where that is not known.

        `prompt`: its text (four bytes are taken for a token) or its number of tokens. `output_tokens`: of the answer.
        For a bound that holds, give the wrapper a budget.
        """
        name = model or self.config.model or self.config.route or ""
        kind = "bedrock" if self.config.backend == "bedrock" else None
        if self.config.backend == "offline":
            return Decimal(0)
        full = name if kind is None or name.startswith(f"{kind}/") else f"{kind}/{name}"
        tokens = prompt if isinstance(prompt, int) else math.ceil(len(prompt.encode()) / _BYTES)
        info = Catalog.default().find(full) if "/" in full else None
        return cost_usd(Usage(input_tokens=tokens, output_tokens=output_tokens), info)

    def retrieve(self, query: str, k: int = 3) -> list[Any]:
        """`k` passages for a query, from the configured retriever, else from the one that DSPy is configured with.

        :raises ConfigError: there is neither.
        """
        if self.config.retriever is not None:
            return list(self.config.retriever(query, k))[:k]
        if settings.rm is None:
            raise ConfigError(
                "there is nothing to retrieve from.",
                where="UnifiedConfig.retriever",
                hint="Give UnifiedConfig(retriever=function), or dspy.configure(rm=…).",
            )
        found: Any = settings.rm(query, k=k)
        passages = cast("Sequence[Any]", getattr(found, "passages", found))
        return [getattr(one, "long_text", one) for one in passages][:k]

    def __repr__(self) -> str:
        return f"UnifiedDSPyWrapper({self.config!r})"


_OF_CLIENTS = frozenset(
    {"api_key", "api_base", "base_url", "timeout", "headers", "extra_headers", "rollout_id"}
)


def _same(given: Any, spec: Spec) -> Spec | None:
    """The model that DSPy would call, for us to call; None for one that is not called by name."""
    if not isinstance(given, dspy.LM) or isinstance(given, LM):
        return None
    theirs: Any = given
    if not isinstance(theirs.engine, str):
        return None
    kind, _, bare = str(theirs.model).partition("/")
    if kind not in KINDS or not bare:
        return None
    kwargs: dict[str, Any] = theirs.kwargs
    return msgspec.structs.replace(
        spec,
        backend="direct",
        model=theirs.model,
        base_url=kwargs.get("api_base") or kwargs.get("base_url"),
        api_key=kwargs.get("api_key"),
    )


def _name_of(signature: Any) -> str:
    return signature.__name__ if isinstance(signature, type) else "predict"
