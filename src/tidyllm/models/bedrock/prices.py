"""What a model costs in the region it is called in. It knows the catalogue's names, and computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from tidyllm.models.bedrock.names import read_name
from tidyllm.models.model_info import ModelInfo

__all__ = ["info_at"]

_AT_LIST_PRICE: Final = frozenset({"us-east-1", "us-east-2", "us-west-2"})
"""The regions whose price the lists give for a model's id without a prefix."""
_GEOGRAPHY: Final = {"ap": "apac", "eu": "eu"}


def info_at(
    model: str, region: str, find: Callable[[str], ModelInfo | None], *, own: bool = False
) -> ModelInfo | None:
    """What is known of `model` in `region`; None for a model that is not known.

    - A tier of the model's `service` with the region's name is its price there.
    - An inference profile costs what the catalogue says under its prefix.
    - Without a prefix the list price holds in the regions where the lists were read, and elsewhere that of the region's
      own profile (`eu.`, `apac.`). Where there is none the price is unknown, which is not 0.

    `own`: the user has told what it costs, wherever it is called.
    """
    name = read_name(model)
    info = find(model)
    if info is None and name.id and name.id != model:
        info = find(name.id)
    if info is None:
        return None
    if region in info.service:
        return msgspec.structs.replace(info, always=(*info.always, region))
    if own or name.geography or region in _AT_LIST_PRICE:
        return info
    there = find(f"{_GEOGRAPHY.get(region.partition('-')[0], region)}.{name.id}")
    if there is None:
        return msgspec.structs.replace(info, prices=None)
    return msgspec.structs.replace(info, prices=there.prices, service=there.service)
