"""Which regions a provider calls, and under which address. It reads the environment, and AWS's own file where nothing
else says a region.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from tidyllm.errors import ConfigError
from tidyllm.models.bedrock.places import check_places

__all__ = ["OWN_ADDRESS", "chosen_regions", "in_region"]

OWN_ADDRESS: Final = "https://bedrock-runtime.{region}.amazonaws.com"
_HOST: Final = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.(?:(?:vpce\.)?amazonaws\.com|api\.aws)")
_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_ELSEWHERE: Final = "us-east-1"
"""For the signature of calls to an address of one's own, where nothing says a region."""


def in_region(address: str, region: str) -> str:
    """The address in one region: `{region}` in it stands for that."""
    return address.replace("{region}", region)


def chosen_regions(
    base_url: str | None, regions: Sequence[str], residency: Sequence[str], profile: str | None
) -> tuple[str, ...]:
    """The regions to call, in order: as given, else as the address, the environment or the profile says.

    :raises ConfigError: nothing says a region, one is outside of `residency`, or the address names another one.
    """
    named = None if base_url is None else _region_in(base_url)
    chosen = tuple(dict.fromkeys(regions))
    if named is not None and chosen and chosen != (named,):
        raise ConfigError(
            f"base_url is in {named}, and regions are {', '.join(chosen)}.",
            where="base_url",
            hint="Write {region} in its place, or leave base_url out.",
        )
    if not chosen:
        found = named or next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), None)
        if found is None and base_url is not None:
            found = _ELSEWHERE
        if found is None:
            from tidyllm.models.bedrock.signing import configured_region

            found = configured_region(profile)
        if found is None:
            raise ConfigError(
                "there is no region for Bedrock.",
                where="regions",
                hint="Give regions, such as [eu-central-1], or set the AWS_REGION environment variable.",
            )
        chosen = (found,)
    check_places(chosen, residency)
    return chosen


def _region_in(base_url: str) -> str | None:
    try:
        found = _HOST.search(urlsplit(base_url).hostname or "")
    except ValueError:  # "http://[": the transport will refuse it by name
        return None
    return None if found is None else found[1]
