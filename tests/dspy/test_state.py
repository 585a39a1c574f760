"""Programs that are saved and loaded: the engine stays, secrets do not."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import MODEL, SECRET, dspy, lm, reply
from tidyllm.dspy import CacheConfig, RetryConfig, UnifiedConfig, UnifiedDSPyWrapper, register
from tidyllm.dspy.engine import Engine
from tidyllm.errors import ConfigError
from tidyllm.testing import ModelServer, scripted


def program_with(model: Any) -> Any:
    made = dspy.ChainOfThought("question -> answer")
    made.set_lm(model)
    return made


@pytest.mark.parametrize("whole", (False, True))
def test_a_saved_program_comes_back_with_its_engine(tmp_path: Path, whole: bool) -> None:
    with ModelServer(lambda request: reply(reasoning="r", answer="Paris")) as server:
        model = lm(MODEL, base_url=server.openai_url, num_retries=4, cache=60, temperature=0.3)
        made = program_with(model)
        if whole:
            made.save(tmp_path / "program", save_program=True)
            loaded = dspy.load(tmp_path / "program", allow_pickle=True)
        else:
            made.save(tmp_path / "program.json")
            loaded = dspy.ChainOfThought("question -> answer")
            loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
        with dspy.context(adapter=dspy.ChatAdapter()):
            assert loaded(question="?").answer == "Paris"
    engine = loaded.predict.lm.engine
    assert isinstance(engine, Engine)
    assert engine.source.dump() == model.engine.source.dump()
    assert loaded.predict.lm.kwargs["temperature"] == 0.3


def test_saved_state_holds_no_secret(tmp_path: Path) -> None:
    made = program_with(lm(MODEL, base_url="http://127.0.0.1:1/v1", api_key=SECRET))
    made.save(tmp_path / "program.json")
    assert SECRET not in (tmp_path / "program.json").read_text()
    assert SECRET not in str(pickle.dumps(made.predict.lm.engine))
    assert SECRET not in repr(made.predict.lm.engine)


def test_saved_state_says_where_a_key_is_found() -> None:
    wrapper = UnifiedDSPyWrapper(UnifiedConfig(backend="direct", model=MODEL, api_key="env:MY_KEY"))
    assert wrapper.lm.dump_state()["engine"]["state"]["spec"]["api_key"] == "env:MY_KEY"
    hidden = UnifiedDSPyWrapper(UnifiedConfig(backend="direct", model=MODEL, api_key=SECRET))
    assert SECRET not in str(hidden.lm.dump_state())
    assert SECRET not in repr(hidden)


@pytest.mark.parametrize("url", ("http://me:{}@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?api_key={}"))
def test_an_address_that_holds_a_secret_is_refused(url: str) -> None:
    """It would be saved; with a wrapper as with a model by name."""
    held = url.format(SECRET)
    with pytest.raises(ConfigError, match="would be saved") as caught:
        lm(MODEL, base_url=held, api_key="k")
    assert SECRET not in str(caught.value)
    for backend in ("gateway", "direct"):
        with pytest.raises(ConfigError, match="would be saved"):
            _ = UnifiedDSPyWrapper(UnifiedConfig(backend=backend, model=MODEL, base_url=held)).lm
    assert lm(MODEL, base_url="http://127.0.0.1:1/v1?api-version=1", api_key="k").engine


def test_a_step_is_saved_by_the_name_it_is_registered_under() -> None:
    with pytest.raises(ConfigError, match="register"):
        lm(scripted("a")).dump_state()
    register("smart", scripted("from the step", "again"))
    state = lm("smart").dump_state()
    again: Any = dspy.LM.load_state(state, allow_custom_lm_class=True)
    assert again("?") == ["from the step"]


def test_a_saved_step_that_is_not_there_is_named_at_the_first_call() -> None:
    state = {"name": "gone", "step": True}
    with pytest.raises(Exception, match=r"register\('gone', step\)"):
        _ = Engine.load_state(state).step


def test_the_engines_of_one_saved_program_share_what_they_know() -> None:
    state = lm("offline/echo", cache=60).engine.dump_state()
    assert Engine.load_state(state).source is Engine.load_state(dict(state)).source


def test_copies_share_the_engine() -> None:
    model = lm("offline/echo")
    assert model.copy(temperature=1.0).engine is model.engine
    assert copy.deepcopy(program_with(model)).predict.lm.engine is model.engine


def test_loading_asks_for_consent() -> None:
    state = lm("offline/echo").dump_state()
    with pytest.raises(ValueError, match="allow_unsafe_lm_state"):
        dspy.BaseLM.load_state(state)


def test_a_wrapper_s_settings_are_saved_with_its_programs(tmp_path: Path) -> None:
    config = UnifiedConfig(
        backend="offline", retry=RetryConfig(max_retries=5), cache=CacheConfig(ttl_seconds=3600)
    )
    made = program_with(UnifiedDSPyWrapper(config).lm)
    made.save(tmp_path / "program.json")
    loaded = dspy.ChainOfThought("question -> answer")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    assert loaded.predict.lm.engine.dump_state() == made.predict.lm.engine.dump_state()
    spec = loaded.predict.lm.engine.dump_state()["spec"]
    assert (spec["retry"]["attempts"], spec["cache"]["ttl"]) == (6, 3600.0)
