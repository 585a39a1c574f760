"""The members of a team: which model, tools and prompt each of them has. It makes agents and runs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from tidyllm.agents.agent import Agent, AnyModel, Tools
from tidyllm.agents.agent_tool import Policy
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.orchestration_prompts import PLANNER
from tidyllm.agents.phases import Phase
from tidyllm.agents.prompt_builder import KINDS, PromptBuilder
from tidyllm.agents.specialist import Specialist
from tidyllm.agents.toolset import Approve, Toolset
from tidyllm.agents.workspace_toolset import workspace_tools
from tidyllm.errors import ConfigError
from tidyllm.models.request import Request
from tidyllm.sandbox import Workspace

__all__ = ["ROLES", "Crew", "Plan", "PlannedTask"]

ROLES = ("default", "arbiter", "planning", *KINDS)
"""For whom a model can be named. Planning and the arbiter use that for reasoning where they have none of their own."""

_LOOKING = ("list_files", "read_file", "search")


class PlannedTask(msgspec.Struct, frozen=True):
    """One task of a plan."""

    title: str
    description: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What a planner gives: tasks in the order in which they are to be done."""

    tasks: list[PlannedTask]
    summary: str = ""


class Crew:
    """Makes the agents of a team.

    :raises ConfigError: no model, or one for a role that there is not; a policy for a tool that there is not.
    """

    def __init__(
        self,
        models: AnyModel | Mapping[str, AnyModel],
        workspace: Workspace,
        *,
        check: Sequence[str] | None,
        tools: Tools,
        policies: Mapping[str, Policy],
        approve: Approve | None,
        limits: AgentLimits,
        native_tools: bool,
        prompts: PromptBuilder,
        request: Request | None,
        context_tokens: int | None,
    ) -> None:
        self._models = _checked(models)
        every = Toolset([workspace_tools(workspace, check=check), *tools])
        for name, policy in policies.items():
            if name not in every.names:
                raise ConfigError(f"there is no tool {name!r} to set a policy for: {', '.join(every.names)}.")
            every = every.with_policy(policy, name)
        builtin = workspace_tools(workspace).names
        own = tuple(name for name in every.names if name not in builtin)
        self._tools = {
            "coding": every,
            "reasoning": every.only(*_LOOKING, *own),
            "analysis": every.only(*_LOOKING, "run_tests", *own),
        }
        self._prompts = prompts
        self._options: dict[str, Any] = {
            "limits": limits,
            "native_tools": native_tools,
            "approve": approve,
            "request": request,
            "context_tokens": context_tokens,
        }

    def model(self, role: str) -> AnyModel:
        """The model of a role."""
        models = self._models
        if role in models:
            return models[role]
        if role in ("arbiter", "planning") and "reasoning" in models:
            return models["reasoning"]
        return models.get("default") or next(iter(models.values()))

    def specialist(self, kind: str, phase: Phase, name: str) -> Specialist[Any]:
        """An agent for one kind of task in one phase."""
        return Specialist(
            kind,
            self.model(kind),
            tools=self._tools[kind],
            phase=phase.value,
            prompts=self._prompts,
            name=name,
            **cast("Any", self._options),
        )

    def planner(self) -> Agent[Plan]:
        """An agent that looks, and gives a plan."""
        words = self._prompts.build(Phase.planning.value, "reasoning").text
        return Agent(
            self.model("planning"),
            self._tools["reasoning"],
            f"{words}\n\n{PLANNER}",
            output=Plan,
            name="planner",
            **cast("Any", self._options),
        )


def _checked(models: AnyModel | Mapping[str, AnyModel]) -> dict[str, AnyModel]:
    if not isinstance(models, Mapping):
        return {"default": models}
    found = dict(cast("Mapping[str, AnyModel]", models))
    unknown = [role for role in found if role not in ROLES]
    if unknown:
        raise ConfigError(f"models for {', '.join(unknown)}: there are only: {', '.join(ROLES)}.")
    if not found:
        raise ConfigError("a team needs a model.", hint="Give one, or a mapping with 'default'.")
    return found
