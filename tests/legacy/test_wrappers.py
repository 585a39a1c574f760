"""The old wrappers warn once where they are used, say what to run, and work."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import MODEL, dspy, reply
from tidyllm.errors import ConfigError
from tidyllm.legacy import dspy_bedrock, dspy_bedrock_enhanced, dspy_enhanced, dspy_gateway, dspy_wrapper
from tidyllm.testing import ModelServer, Reply

quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_each_place_is_warned_of_once_with_what_to_run() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            dspy_enhanced.RetryConfig(max_retries=1)
        dspy_enhanced.RetryConfig(max_retries=1)
    assert len(told) == 2
    said = str(told[0].message)
    assert f"{__file__}:" in said
    assert f"tidyllm migrate apply {__file__} --pattern dspy_enhanced" in said
    assert told[0].filename == __file__


def test_a_script_sees_the_warning(tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text("from tidyllm.legacy.tta_primitives import WorkflowContext\nWorkflowContext()\n")
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert f"{script}:2: DeprecationWarning" in ran.stderr
    assert "--pattern tta_primitives" in ran.stderr


@quiet
def test_the_enhanced_wrapper_retries_keeps_and_validates_as_it_did() -> None:
    with ModelServer(
        Reply(status=500), Reply(status=500), reply(answer="bad"), reply(answer="good")
    ) as server:
        theirs = dspy.LM(MODEL, api_base=server.openai_url, api_key="k", cache=False, num_retries=0)
        wrapper: Any = dspy_enhanced.DSPyEnhancedWrapper(
            retry_config=dspy_enhanced.RetryConfig(max_retries=2, initial_delay=0.001, max_delay=0.001),
            cache_config=dspy_enhanced.CacheConfig(ttl=3600),
            validation_config=dspy_enhanced.ValidationConfig(required_keywords=["good"]),
        )
        module = wrapper.create_module("qa", "question -> answer")
        with dspy.context(lm=theirs, adapter=dspy.ChatAdapter()):
            assert [module(question="?").answer for _ in range(2)] == ["good", "good"]
        assert len(server.requests) == 4


@quiet
def test_old_names_of_one_setting_mean_the_same() -> None:
    made = [
        dspy_enhanced.RetryConfig(3, 0.5, backoff_factor=2.0),
        dspy_enhanced.RetryConfig(max_retries=3, base_delay=0.5, exponential_base=2.0),
    ]
    assert vars(made[0]) == vars(made[1])
    assert dspy_enhanced.CacheConfig(ttl=5).ttl == dspy_enhanced.CacheConfig(ttl_seconds=5).ttl == 5


@quiet
def test_the_gateway_is_configured_for_the_process() -> None:
    with ModelServer("hello") as server:
        dspy_gateway.configure_dspy_with_gateway("fast", temperature=0.0)
        assert dspy.settings.lm.model == "fast"
        assert dspy.settings.lm.kwargs["temperature"] == 0.0
        assert server.requests == []
    assert dspy_gateway.DSPyGatewayLM().model == dspy_gateway.DEFAULT_ROUTE
    assert dspy_gateway.TidyLLMGatewayBackend("fast").config.backend == "gateway"


@quiet
def test_bedrock_s_wrapper_carries_region_profile_and_model() -> None:
    config = dspy_bedrock.BedrockConfig(region="eu-central-1", profile="prod", default_model="anthropic.x")
    wrapper = dspy_bedrock.DSPyBedrockEnhancedWrapper(bedrock_config=config)
    assert (wrapper.config.backend, wrapper.config.region) == ("bedrock", "eu-central-1")
    assert (wrapper.config.profile, wrapper.config.model) == ("prod", "anthropic.x")
    assert wrapper.create_bedrock_module("qa", "question -> answer", "anthropic.y").name == "qa"
    assert dspy_bedrock_enhanced.DSPyBedrockEnhanced is dspy_bedrock.DSPyBedrockEnhancedWrapper
    with pytest.raises(ConfigError, match="keys of AWS"):
        dspy_bedrock.BedrockConfig(access_key_id="A", secret_access_key="S")


@quiet
def test_switches_become_configurations() -> None:
    config = dspy_wrapper.DSPyConfig(cache_enabled=True, validation_enabled=True, cache_ttl=60, max_retries=1)
    made = dspy_wrapper.DSPyWrapper(config).config
    assert made.cache is not None
    assert made.retry is not None
    assert (made.cache.ttl_seconds, made.retry.max_retries) == (60, 1)
    assert made.validation is not None
    assert dspy_wrapper.DynamicDSPyModule("question -> answer").name == "dynamic"
