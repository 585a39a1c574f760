"""`tidyllm route` from outside: a choice explained, a policy learned and drawn, and bad input told in a line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.command import run
from tests.routing.prompts import learnable

CONFIG = """
providers:
  main: {kind: offline}
  paid: {kind: openai, api_key: "env:TIDY_TEST_KEY"}
models:
  premium: {route: [paid/gpt-5.1]}
  fast: {route: [paid/gpt-5-mini]}
"""
COSTS = ("--cost", "fast=0.001", "--cost", "premium=0.02")


def lines(path: Path, count: int = 80, more: str = "") -> Path:
    text = "\n".join(msgspec.json.encode(row).decode() for row in learnable(count))
    (path / "outcomes.jsonl").write_text(f"{text}\n{more}")
    return path


async def test_a_choice_is_explained(tmp_path: Path) -> None:
    (tmp_path / "tidyllm.yaml").write_text(CONFIG)
    ended = await run(tmp_path, "route", "Write a Python function that adds two numbers.")
    assert ended.status == 0, ended.err
    assert "task: code" in ended.out
    assert "chosen: fast: the cheapest" in ended.out
    told = await run(tmp_path, "route", "--by", "order", "--json", "--task", "chat", "train")
    choice = msgspec.json.decode(told.out)
    assert (choice["route"], choice["task"]) == ("premium", "chat")


async def test_a_policy_is_learned_used_and_drawn(tmp_path: Path) -> None:
    ended = await run(lines(tmp_path), "route", "train", "outcomes.jsonl", *COSTS, "--quality", "0.9")
    assert ended.status == 0, ended.err
    assert "APGR" in ended.out
    assert "written to policy.json" in ended.out
    told = await run(
        tmp_path,
        "route",
        "-p",
        "policy.json",
        "please exactly tell briefly now the proof of a theorem number 3?",
    )
    assert "expected quality" in told.out
    drawn = await run(tmp_path, "route", "report", "--png", "curve.png", "--share", "0.5", "--save")
    assert drawn.status == 0, drawn.err
    assert "X chosen" in drawn.out
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "outcomes.jsonl", "policy.json"]


async def test_it_learns_from_feedback_in_the_store(tmp_path: Path) -> None:
    from tidyllm.routing import Feedback, record_feedback
    from tidyllm.store import Store

    store = Store.open(tmp_path / "s.db")
    for number, row in enumerate(learnable(60)):
        for route, quality in row.quality.items():
            one = Feedback(run_id=str(number), route=route, quality=quality, prompt=row.prompt)
            await record_feedback(store, one)
    await store.aclose()
    ended = await run(tmp_path, "route", "train", "--feedback", "--store", "s.db", *COSTS)
    assert ended.status == 0, ended.err
    assert (tmp_path / "policy.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "outcomes.jsonl", *COSTS), "1 broken lines: line 81"),
        (("train", "none.jsonl"), "none.jsonl: cannot be read: No such file"),
        (("train",), "nothing to learn from"),
        (("train", "outcomes.jsonl", "--cost", "fast"), "--cost 'fast' is not ROUTE=DOLLARS"),
        (("train", "outcomes.jsonl", "-o", "no/p.json"), "there is no folder 'no'"),
        (("report", "outcomes.jsonl"), "is damaged"),
        (("report", "--share", "1", "--quality", "1"), "not both"),
        (("-p", "none.json", "hello"), "none.json: cannot be read"),
        (("--task", "poetry", "hello"), "unknown task 'poetry'"),
        ((" ",), "the prompt is empty"),
    ],
)
async def test_bad_input_is_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = await run(lines(tmp_path, more="{oops\n"), "route", *arguments)
    assert ended.status == 2, ended.out
    assert said in ended.err
    assert not ended.traceback
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes.jsonl"]


async def test_the_choice_of_a_configured_model_is_explained(tmp_path: Path) -> None:
    auto = "  auto: {choose: {among: [premium, fast], by: order, abilities: [tools]}}\n"
    (tmp_path / "tidyllm.yaml").write_text(CONFIG + auto)
    ended = await run(tmp_path, "route", "--model", "auto", "Hello?")
    assert ended.status == 0, ended.err
    assert "chosen: premium" in ended.out
    assert "auto" not in (await run(tmp_path, "route", "Hello?")).out  # it is no candidate of its own
    refused = await run(tmp_path, "route", "--model", "fast", "Hello?")
    assert refused.status == 2
    assert "'fast' does not choose among models. Those that do: auto." in refused.err


async def test_a_check_reads_the_policy_of_a_choice(tmp_path: Path) -> None:
    auto = "  auto: {choose: {among: [premium, fast], by: learned, policy: policy.json}}\n"
    (tmp_path / "tidyllm.yaml").write_text(CONFIG + auto)
    ended = await run(tmp_path, "check")
    assert ended.status == 2
    assert "models.auto.choose.policy: policy.json: cannot be read" in ended.err


async def test_a_check_warns_of_a_policy_that_prefers_what_may_not_be_chosen(tmp_path: Path) -> None:
    trained = await run(lines(tmp_path), "route", "train", "outcomes.jsonl", *COSTS, "--quality", "0.9")
    assert trained.status == 0, trained.err
    auto = "  auto: {choose: {among: [%s], by: learned, policy: policy.json}}\n"
    (tmp_path / "tidyllm.yaml").write_text(CONFIG + auto % "fast")
    ended = await run(tmp_path, "check")
    assert ended.status == 0, ended.err
    assert "it prefers 'premium', which is not among fast. (warning)" in ended.err
    (tmp_path / "tidyllm.yaml").write_text(CONFIG + auto % "fast, premium")
    assert "prefers" not in (await run(tmp_path, "check")).err
