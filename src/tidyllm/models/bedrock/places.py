"""Where data may go: regions, the places they are in, and which regions a model may be called in. It asks nobody.

A place is a geography (`eu`, `us`, `apac`), a country (`de`, `jp`), or a region itself. `eu` is the European Union:
London and Zurich are in `europe`, not in `eu`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from tidyllm.errors import ConfigError
from tidyllm.models.bedrock.names import GEOGRAPHIES, ModelName, read_name

__all__ = ["PLACES", "allowed_regions", "check_places", "places_of"]

_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")

_COUNTRIES: Final = {
    "af-south-1": "za", "ap-east-1": "hk", "ap-east-2": "tw", "ap-northeast-1": "jp", "ap-northeast-2": "kr",
    "ap-northeast-3": "jp", "ap-south-1": "in", "ap-south-2": "in", "ap-southeast-1": "sg", "ap-southeast-2": "au",
    "ap-southeast-3": "id", "ap-southeast-4": "au", "ap-southeast-5": "my", "ap-southeast-6": "nz",
    "ap-southeast-7": "th", "ca-central-1": "ca", "ca-west-1": "ca", "eu-central-1": "de", "eu-central-2": "ch",
    "eu-north-1": "se", "eu-south-1": "it", "eu-south-2": "es", "eu-west-1": "ie", "eu-west-2": "gb",
    "eu-west-3": "fr", "il-central-1": "il", "me-central-1": "ae", "me-south-1": "bh", "mx-central-1": "mx",
    "sa-east-1": "br",
}  # fmt: skip
_OUTSIDE_THE_UNION: Final = frozenset({"eu-central-2", "eu-west-2"})
_WIDE: Final = {
    "ap": "apac",
    "af": "af",
    "ca": "ca",
    "il": "il",
    "me": "me",
    "mx": "mx",
    "sa": "sa",
    "us": "us",
}

PLACES: Final = frozenset({*_COUNTRIES.values(), *_WIDE.values(), "eu", "europe", "us-gov", "uk"})
"""All places but the regions themselves."""

_CALLED_FROM: Final = {
    "apac": ("ap-", "me-"),
    "au": ("ap-southeast-",),
    "ca": ("ca-", "us-"),
    "eu": ("eu-", "il-", "me-"),
    "jp": ("ap-northeast-",),
    "us": ("us-", "ca-", "mx-"),
    "us-gov": ("us-gov-",),
}
"""How the regions begin in which the profiles of a geography can be called at all."""


def places_of(region: str) -> frozenset[str]:
    """All places that `region` is in, itself among them."""
    found = {region}
    if country := _COUNTRIES.get(region):
        found.add(country)
        if country == "gb":
            found.add("uk")
    if region.startswith("eu-"):
        # A region that is new here may be outside of the Union, as Zurich is.
        inside = country is not None and region not in _OUTSIDE_THE_UNION
        found |= {"europe", "eu"} if inside else {"europe"}
    elif region.startswith("us-gov-"):
        found |= {"us-gov", "us"}
    elif wide := _WIDE.get(region.partition("-")[0]):
        found.add(wide)
    return frozenset(found)


def check_places(regions: Iterable[str], residency: Iterable[str]) -> None:
    """Whether these regions may be called at all.

    :raises ConfigError: a region or place is none, or a region is outside of all places; `where` says which key.
    """
    allowed = list(residency)
    for place in allowed:
        if place not in PLACES and not _REGION.fullmatch(place):
            near = get_close_matches(place[:40], sorted(PLACES), 1)
            hint = (
                f"Did you mean {near[0]!r}?" if near else "Write eu, us, apac, a country (de), or a region."
            )
            raise ConfigError(f"{place[:80]!r} is no place that Bedrock is in.", where="residency", hint=hint)
    for region in regions:
        if not _REGION.fullmatch(region):
            hint = "Write it as AWS does: eu-central-1."
            raise ConfigError(f"{region[:80]!r} is no region.", where="regions", hint=hint)
        if allowed and places_of(region).isdisjoint(allowed):
            raise ConfigError(
                f"region {region} is outside of residency {_list(allowed)}.",
                where="regions",
                hint="Take the region out, or add the place to residency.",
            )


def allowed_regions(model: str, regions: tuple[str, ...], residency: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `regions` in which `model` can be called, in order; never one from which data leave `residency`.

    :raises ConfigError: there is none, or it is an inference profile that may send data elsewhere.
    """
    check_places(regions, residency)
    name = read_name(model)
    if residency:
        _check_residency(model, name, residency)
    fitting = regions
    if name.region:
        fitting = tuple(one for one in fitting if one == name.region)
        if not fitting:
            raise ConfigError(
                f"model {model!r} lives in {name.region}, which is none of the regions {_list(regions)}.",
                where="regions",
                hint=f"Add {name.region} to regions.",
            )
    if begins := _CALLED_FROM.get(name.geography):
        fitting = tuple(one for one in fitting if one.startswith(begins) and _same_cloud(one, name.geography))
        if not fitting:
            raise ConfigError(
                f"{name.geography!r} in front of model {model!r} is a profile that none of the regions "
                f"{_list(regions)} can call.",
                where="regions",
                hint="Use the profile of these regions, or the model's id without a prefix.",
            )
    return fitting


def _check_residency(model: str, name: ModelName, residency: tuple[str, ...]) -> None:
    if name.geography:
        reach = GEOGRAPHIES.get(name.geography)
        if reach is not None and not any(one.isdisjoint(residency) for one in reach):
            return
        anywhere = "anywhere" if reach is None else f"to other regions of {name.geography!r}"
        raise ConfigError(
            f"model {model!r} is an inference profile that may send data {anywhere}; residency is {_list(residency)}.",
            where="residency",
            hint="Use a profile of that place, or the model's id without a prefix, which stays in its region.",
        )
    if not name.stays:
        raise ConfigError(
            f"nobody can tell from {model!r} where its calls go; residency is {_list(residency)}.",
            where="residency",
            hint="Name the model or the system's own inference profile (eu.…), whose regions are known.",
        )


def _same_cloud(region: str, geography: str) -> bool:
    """Calls never cross between the commercial regions and those of the government."""
    return region.startswith("us-gov-") == (geography == "us-gov")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
