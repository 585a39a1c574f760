"""How much of real prompts a prefix cache holds, and what that saves: a replay of the Mooncake traces.

    .venv/bin/python benchmarks/prefix_cache.py [--model anthropic/claude-sonnet-4-5]

A trace (FAST '25) gives for each request its time, its length in tokens, and a hash for each block of 512 tokens, which
stands for that block and all before it. Both halves are replayed in order of time. A request finds as many of its first
blocks as the cache holds, and leaves all of its blocks there. Whole blocks count: no cache keeps the odd end of a
prompt (counted as blocks, those ends would take 1.6 points of the conversations and 1.9 of the synthetic trace).

Printed is the share of blocks found, with room for everything and with less (least recently used go first), and with a
lifetime as providers have it; and what a provider's price for cached input would save. Writing is counted at the price
of input, as OpenAI and others bill it, and at Anthropic's surcharge for those who name one.
"""

from __future__ import annotations

import argparse
import gzip
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from benchmarks.table import Table
from tidyllm.cache.prompt import prompt_cache_saved_usd
from tidyllm.models.catalog import Catalog
from tidyllm.models.pricing import cost_usd
from tidyllm.models.response import Usage

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mooncake_fast25"
TRACES = ("conversation", "synthetic")
PUBLISHED = {"conversation": "40 %", "synthetic": "66 %"}
MODELS = ("openai/gpt-5.1", "anthropic/claude-sonnet-4-5")
SETTINGS: tuple[tuple[str, int | None, float | None], ...] = (
    ("all blocks, for ever", None, None),
    ("50,000 blocks", 50_000, None),
    ("10,000 blocks", 10_000, None),
    ("1,000 blocks", 1_000, None),
    ("all blocks, 1 h after use", None, 3600.0),
    ("all blocks, 5 min after use", None, 300.0),
)
BLOCK = 512
"""Tokens of one hash."""


class Line(msgspec.Struct, frozen=True):
    """One request of a trace; `timestamp` is in milliseconds."""

    timestamp: int
    input_length: int
    output_length: int
    hash_ids: list[int]


@dataclass
class Result:
    """`hits` of `blocks` were found; `reads`, `writes` and `inputs` are tokens."""

    requests: int = 0
    blocks: int = 0
    hits: int = 0
    inputs: int = 0
    reads: int = 0
    writes: int = 0
    outputs: int = 0

    @property
    def rate(self) -> float:
        """Share of whole blocks that were found."""
        return self.hits / self.blocks


def trace(folder: Path, name: str) -> list[Line]:
    """Both halves of a trace, in order of time."""
    lines: list[Line] = []
    for half in ("dev", "held"):
        text = gzip.decompress((folder / f"{name}_trace.{half}.jsonl.gz").read_bytes())
        lines += [msgspec.json.decode(line, type=Line) for line in text.splitlines() if line.strip()]
    return sorted(lines, key=lambda line: line.timestamp)  # stable: equal times keep their order


def replay(lines: Iterable[Line], *, blocks: int | None = None, seconds: float | None = None) -> Result:
    """Send the lines through a cache of so many `blocks` (None: all), each kept `seconds` after its last use."""
    held: OrderedDict[int, float] = OrderedDict()
    result = Result()
    for line in lines:
        now = line.timestamp / 1000
        found = prefix(line.hash_ids, held, None if seconds is None else now - seconds)
        for one in line.hash_ids:
            held[one] = now
            held.move_to_end(one)
        while blocks is not None and len(held) > blocks:
            held.popitem(last=False)
        whole = line.input_length // BLOCK
        found = min(found, whole)
        result.requests += 1
        result.blocks += whole
        result.hits += found
        result.inputs += line.input_length
        read = found * BLOCK
        result.reads += read
        result.writes += line.input_length - read
        result.outputs += line.output_length
    return result


def prefix(ids: Sequence[int], held: OrderedDict[int, float], since: float | None) -> int:
    """How many of the first blocks are held, and were used since then."""
    for place, one in enumerate(ids):
        used = held.get(one)
        if used is None or (since is not None and used < since):
            return place
    return len(ids)


def saved(result: Result, model: str) -> tuple[Decimal, Decimal] | None:
    """Dollars that the whole trace costs without a cache of the provider, and what one saves; None: unknown prices.

    Tiers by the length of a prompt are left out: usage is added up over all requests.
    """
    info = Catalog.default().find(model)
    if info is None or info.prices is None:
        return None
    flat = msgspec.structs.replace(info, prices=msgspec.structs.replace(info.prices, long=()))
    writes = result.writes if info.prices.cache_write_5m is not None else None
    usage = Usage(
        input_tokens=result.inputs,
        output_tokens=result.outputs,
        cache_read_tokens=result.reads,
        cache_write_5m_tokens=writes,
    )
    plain = cost_usd(Usage(input_tokens=result.inputs, output_tokens=result.outputs), flat)
    less = prompt_cache_saved_usd(usage, flat)
    return None if plain is None or less is None else (plain, less)


def run() -> list[Table]:
    """Needs the folder `shared` beside the project."""
    table = Table(
        "prefix_cache",
        "What a cache of prefixes finds in the Mooncake traces (FAST '25)",
        (
            "trace and cache",
            "whole blocks",
            "published",
            "tokens",
            *(f"saved at {model}" for model in MODELS),
        ),
    )
    for name in TRACES:
        lines = trace(DATA, name)
        for label, blocks, seconds in SETTINGS:
            result = replay(lines, blocks=blocks, seconds=seconds)
            money = (saved(result, model) for model in MODELS)
            told = ("unknown" if one is None else f"${one[1]:,.2f} of ${one[0]:,.2f}" for one in money)
            published = PUBLISHED[name] if blocks is seconds is None else ""
            rates = (f"{result.rate:.1%}", published, f"{result.reads / result.inputs:.1%}")
            table.add(f"{name}, {label}", *rates, *told)
    return [table]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--model", action="append", help="whose prices; default: one each of OpenAI and Anthropic"
    )
    options = parser.parse_args()
    models: tuple[str, ...] = tuple(options.model or MODELS)
    for name in TRACES:
        lines = trace(options.data, name)
        print(f"{name}: {len(lines):,} requests, {sum(line.input_length for line in lines):,} tokens in")
        for label, blocks, seconds in SETTINGS:
            result = replay(lines, blocks=blocks, seconds=seconds)
            print(
                f"  {label:<28} {result.rate:6.1%} of whole blocks, {result.reads / result.inputs:6.1%} of tokens"
            )
            for model in models:
                money = saved(result, model)
                if money is None:
                    print(f"    {model}: its prices are not known")
                else:
                    share = money[1] / money[0]
                    print(f"    {model}: ${money[1]:,.2f} saved of ${money[0]:,.2f} ({share:.1%})")


if __name__ == "__main__":
    main()
