"""Twenty-five programs, each on DSPy's own engine and on ours, over one scripted server: same results, same requests.

A program returns what it found; the test compares that, and every body that reached the server.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import BOTH, Which, dspy, make, said
from tidyllm.models import Request
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing import call as tool_call

QA = "question -> answer"


def last(request: Request) -> str:
    """What the last user said."""
    return next(turn.text for turn in reversed(request.turns) if turn.role == "user")


def field(request: Request, name: str) -> str:
    found = re.search(rf"\[\[ ## {name} ## \]\]\n(.*?)(?:\n\n|\Z)", last(request), re.DOTALL)
    return "" if found is None else found[1].strip()


def everything(request: Request) -> Reply | str:
    """A model that answers every signature here by looking at the request alone."""
    system = request.turns[0].text if request.turns[0].role == "system" else str(request.system)
    outputs = re.search(r"Your output fields are:\n(.*?)\nAll interactions", system, re.DOTALL)
    names = re.findall(r"\d+\. `(\w+)`", "" if outputs is None else outputs[1])
    question = field(request, "question")
    values = {
        "answer": f"{question.upper()} at {request.temperature}" if request.temperature else question.upper(),
        "reasoning": "Let me think.",
        "score": "0.75",
        "label": "positive",
        "tags": '["a", "b"]',
        "next_thought": "I look it up.",
        "next_tool_name": "finish"
        if "Observation" in last(request) or "observation_0" in last(request)
        else "look_up",
        "next_tool_args": "{}" if "observation_0" in last(request) else '{"word": "paris"}',
        "advice": "{}",
        "discussion": "The answer was too short.",
        "proposed_instruction": "Answer in capitals.",
        "proposed_prefix_for_output_field": "Answer:",
        "feedback": "fine",
    }
    if not names:
        return "plain"
    found = {name: values.get(name, f"value of {name}") for name in names}
    return json.dumps(found) if "JSON object" in last(request) else said(**found)


# -- the programs


def predict() -> Any:
    return dspy.Predict(QA)(question="why").answer


def chain_of_thought() -> Any:
    found = dspy.ChainOfThought(QA)(question="why")
    return found.reasoning, found.answer


def typed_outputs() -> Any:
    class Judge(dspy.Signature):
        """Judge it."""

        question: str = dspy.InputField()
        score: float = dspy.OutputField()
        tags: list[str] = dspy.OutputField()

    found = dspy.Predict(Judge)(question="why")
    return found.score, found.tags


def few_shot() -> Any:
    made = dspy.Predict(QA)
    made.demos = [dspy.Example(question="one", answer="ONE")]
    return made(question="two").answer


def history() -> Any:
    before = dspy.History(messages=[{"question": "one", "answer": "ONE"}])
    return dspy.Predict("history: dspy.History, question -> answer")(history=before, question="two").answer


def several_answers() -> Any:
    return dspy.Predict(QA, n=3, temperature=0.7)(question="why").completions.answer


def react() -> Any:
    def look_up(word: str) -> str:
        """Look a word up."""
        return f"{word} is a city"

    found = dspy.ReAct(QA, tools=[look_up], max_iters=3)(question="paris")
    return found.answer, found.trajectory["observation_0"]


def best_of_n() -> Any:
    def longest(args: Any, pred: Any) -> float:
        return len(pred.answer) / 100

    return dspy.BestOfN(dspy.Predict(QA), N=5, reward_fn=longest, threshold=1.0)(question="why").answer


def refine() -> Any:
    def never(args: Any, pred: Any) -> float:
        return 0.5

    return dspy.Refine(dspy.Predict(QA), N=2, reward_fn=never, threshold=1.0)(question="why").answer


def parallel() -> Any:
    made = dspy.Predict(QA)
    pairs = [(made, {"question": f"q{number}"}) for number in range(6)]
    return [one.answer for one in dspy.Parallel(num_threads=3, disable_progress_bar=True)(pairs)]


def batch() -> Any:
    examples = [dspy.Example(question=f"q{number}").with_inputs("question") for number in range(4)]
    return [one.answer for one in dspy.Predict(QA).batch(examples, num_threads=2)]


def asynchronous() -> Any:
    async def run() -> Any:
        made = dspy.ChainOfThought(QA)
        found = await asyncio.gather(*(made.acall(question=f"q{number}") for number in range(5)))
        return [one.answer for one in found]

    return asyncio.run(run())


def asyncified() -> Any:
    return asyncio.run(dspy.asyncify(dspy.Predict(QA))(question="why")).answer


def streaming() -> Any:
    async def run() -> Any:
        listener = dspy.streaming.StreamListener(signature_field_name="answer")
        values = dspy.streamify(dspy.Predict(QA), stream_listeners=[listener])(question="why not now")
        return [
            value.chunk if isinstance(value, dspy.streaming.StreamResponse) else value.answer
            async for value in values
        ]

    found = asyncio.run(run())
    return "".join(found[:-1]), found[-1]


def json_adapter() -> Any:
    with dspy.context(adapter=dspy.JSONAdapter()):
        return dspy.Predict("text -> label")(text="good").label


def save_and_load() -> Any:
    made = dspy.ChainOfThought(QA)
    made.predict.demos = [dspy.Example(question="one", reasoning="r", answer="ONE")]
    path = Path(dspy.settings.tidyllm_folder) / "program.json"
    made.save(path)
    again = dspy.ChainOfThought(QA)
    again.load(path)
    return again(question="two").answer


def bootstrap() -> Any:
    compiled = dspy.BootstrapFewShot(metric=_right, max_bootstrapped_demos=2, max_labeled_demos=2).compile(
        dspy.Predict(QA), trainset=_examples()
    )
    return len(compiled.demos), compiled(question="two").answer


def labelled() -> Any:
    compiled = dspy.LabeledFewShot(k=2).compile(dspy.Predict(QA), trainset=_examples())
    return len(compiled.demos), compiled(question="three").answer


def copro() -> Any:
    optimiser = dspy.COPRO(metric=_right, breadth=2, depth=1, init_temperature=0.5)
    compiled = optimiser.compile(
        dspy.Predict(QA), trainset=_examples(), eval_kwargs={"num_threads": 1, "display_progress": False}
    )
    return compiled.signature.instructions


def random_search() -> Any:
    optimiser = dspy.BootstrapFewShotWithRandomSearch(
        metric=_right, max_bootstrapped_demos=1, max_labeled_demos=1, num_candidate_programs=2, num_threads=1
    )
    return len(optimiser.compile(dspy.Predict(QA), trainset=_examples()).demos)


def simba() -> Any:
    optimiser = dspy.SIMBA(metric=_score, bsize=2, num_candidates=2, max_steps=1, num_threads=1)
    return optimiser.compile(dspy.Predict(QA), trainset=_examples(), seed=0).signature.instructions


def gepa() -> Any:
    optimiser = dspy.GEPA(metric=_score, max_metric_calls=12, reflection_lm=dspy.settings.lm, num_threads=1)
    compiled = optimiser.compile(dspy.Predict(QA), trainset=_examples(), valset=_examples())
    return compiled.signature.instructions


def evaluate() -> Any:
    run = dspy.Evaluate(devset=_examples(), metric=_right, num_threads=2, display_progress=False)
    return run(dspy.Predict(QA)).score


def multi_chain() -> Any:
    thoughts = [
        dspy.Prediction(reasoning=f"thought {number}", rationale=f"thought {number}", answer="X")
        for number in range(3)
    ]
    return dspy.MultiChainComparison(QA, M=3)(thoughts, question="why").answer


def usage() -> Any:
    with dspy.track_usage() as tracker:
        dspy.Predict(QA)(question="why")
        dspy.Predict(QA)(question="how")
    return [sum(one["total_tokens"] for one in kept) for kept in tracker.usage_data.values()]


def _examples() -> list[Any]:
    words = ("one", "two", "three", "four")
    return [dspy.Example(question=word, answer=word.upper()).with_inputs("question") for word in words]


def _right(example: Any, found: Any, trace: Any = None) -> bool:
    return example.answer == found.answer


def _score(
    example: Any, found: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
) -> float:
    return float(_right(example, found))


PROGRAMS: tuple[Callable[[], Any], ...] = (
    predict, chain_of_thought, typed_outputs, few_shot, history, several_answers, react, best_of_n, refine, parallel,
    batch, asynchronous, asyncified, streaming, json_adapter, save_and_load, bootstrap, labelled, copro, evaluate,
    multi_chain, usage, random_search, simba, gepa,
)  # fmt: skip


def run(which: Which, program: Callable[[], Any], folder: Path) -> tuple[Any, list[str]]:
    with ModelServer(everything) as server:
        model = make(which, server.openai_url)
        with dspy.context(lm=model, adapter=dspy.ChatAdapter(), tidyllm_folder=str(folder)):
            found = program()
        # Threads ask in any order.
        return found, sorted(str(_plain(one.body)) for one in server.requests)


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in sorted(body) if (name, body[name]) != ("stream", False)}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_a_program_does_the_same_on_both(program: Callable[[], Any], tmp_path: Path) -> None:
    native, ours = (run(which, program, tmp_path) for which in BOTH)
    assert ours[0] == native[0]
    assert ours[1] == native[1]
    assert ours[1]


def test_native_tools_are_called_and_answered() -> None:
    """DSPy's catalogue knows no `any`, so that its own engine offers no tools here; ours is told."""

    ask = "question, tools: list[dspy.Tool] -> calls: dspy.ToolCalls"

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    with ModelServer(Reply(tool_calls=(tool_call("add", a=1, b=2),))) as server:
        model = make("ours", server.openai_url, abilities=("tools",))
        with dspy.context(lm=model, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
            found = dspy.Predict(ask)(question="1 + 2", tools=[dspy.Tool(add)])
        assert server.requests[0].body["tools"][0]["function"]["name"] == "add"
    assert found.calls.tool_calls[0].args == {"a": 1, "b": 2}


def test_structured_output_is_asked_for_by_schema() -> None:
    with ModelServer('{"label": "positive"}') as server:
        model = make("ours", server.openai_url, abilities=("structured_output",))
        with dspy.context(lm=model, adapter=dspy.JSONAdapter()):
            assert dspy.Predict("text -> label")(text="good").label == "positive"
        assert server.requests[0].body["response_format"]["type"] == "json_schema"


def test_pictures_reach_the_model() -> None:
    with ModelServer(everything) as server:
        with dspy.context(lm=make("ours", server.openai_url), adapter=dspy.ChatAdapter()):
            picture = dspy.Image("data:image/png;base64,iVBORw0KGgo=")
            dspy.Predict("question, picture: dspy.Image -> answer")(question="what", picture=picture)
        content = server.requests[0].body["messages"][1]["content"]
    assert [part["type"] for part in content].count("image_url") == 1


@pytest.mark.parametrize("known", (True, False))
def test_what_a_model_reasoned_fills_the_field_for_it(known: bool) -> None:
    """Where it is known to reason, effort is asked for; elsewhere the field is one of its text."""
    ask = dspy.Signature(
        {
            "question": (str, dspy.InputField()),
            "reasoning": (dspy.Reasoning, dspy.OutputField()),
            "answer": (str, dspy.OutputField()),
        }
    )
    text = said(answer="42") if known else said(reasoning="They ask.", answer="42")
    with ModelServer(Reply(text=text, reasoning="They ask." if known else "")) as server:
        model = make("ours", server.openai_url, abilities=("reasoning",) if known else ())
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            found = dspy.Predict(ask)(question="?")
        effort = server.requests[0].body.get("reasoning_effort")
    assert (str(found.reasoning), found.answer) == ("They ask.", "42")
    assert effort == ("low" if known else None)
