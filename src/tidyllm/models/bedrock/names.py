"""What a model's id at Bedrock says: who made it, across which regions it is served, where it lives. It asks nobody.

`anthropic.claude-haiku-4-5-20251001-v1:0` is a model of one region, `eu.anthropic.…` an inference profile that spreads
calls over regions of Europe, `arn:aws:bedrock:REGION:ACCOUNT:TYPE/ID` either of them, or something of an account's own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

__all__ = ["GEOGRAPHIES", "ModelName", "read_name"]

GEOGRAPHIES: Final[dict[str, tuple[frozenset[str], ...] | None]] = {
    "apac": (frozenset({"apac"}),),
    "au": (frozenset({"au", "apac"}),),
    "ca": (frozenset({"ca"}), frozenset({"us"})),
    "eu": (frozenset({"eu", "europe"}),),
    "global": None,
    "jp": (frozenset({"jp", "apac"}),),
    "us": (frozenset({"us"}),),
    "us-gov": (frozenset({"us-gov", "us"}),),
}
"""By the prefix of an inference profile: the places where it may send data, each by all its names; None: anywhere."""

_ARN: Final = re.compile(r"arn:[a-z-]+:(?:bedrock|sagemaker):([a-z0-9-]*):[0-9]*:([a-z-]+)/(.+)")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9.:_-]*")
_CODE: Final = re.compile(r"[a-z]{2}")
_OF_ONE_REGION: Final = frozenset(
    {
        "custom-model",
        "custom-model-deployment",
        "endpoint",
        "foundation-model",
        "imported-model",
        "provisioned-model",
    }
)
_NAMED: Final = frozenset({"foundation-model", "inference-profile"})


class ModelName(msgspec.Struct, frozen=True):
    """What is known from a model's id alone."""

    id: str
    """As the catalogue knows it; "" where only the account knows what stands behind."""
    maker: str = ""
    """`anthropic`, `amazon`, …; "" where that is not known."""
    geography: str = ""
    """The prefix of an inference profile: `eu`, `us`, `global`, …"""
    region: str = ""
    """The region that an ARN names."""
    stays: bool = True
    """Whether it is served where it is called: False for what may be sent on, and nobody can tell from the id where."""

    @property
    def bare(self) -> str:
        """The id without the maker: `claude-haiku-4-5-20251001-v1:0`."""
        return self.id.removeprefix(f"{self.geography}.").partition(".")[2]


@lru_cache(maxsize=1024)
def read_name(model: str) -> ModelName:
    """Of an id, or of an ARN."""
    arn = _ARN.fullmatch(model)
    if arn is None:
        if model.startswith("arn:"):
            return ModelName("", stays=False)
        return _named(model)
    region, kind, rest = arn.groups()
    if kind in _NAMED:
        named = _named(rest)
        return msgspec.structs.replace(named, region=region)
    return ModelName("", region=region, stays=kind in _OF_ONE_REGION)


def _named(id: str) -> ModelName:
    first, dot, rest = id.partition(".")
    if dot and "." in rest and (first in GEOGRAPHIES or _CODE.fullmatch(first)):
        return ModelName(id, rest.partition(".")[0], first)
    # Written as AWS writes none (" us.…", "US.…", "ARN:…", "inference-profile/us.…") it may mean anything.
    return ModelName(id, first if dot else "", stays=_ID.fullmatch(id) is not None)
