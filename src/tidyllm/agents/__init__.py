"""Tools, the loop, specialists and teams: work that models do with functions, and that always ends.

A name is loaded when it is first used: `import tidyllm.agents` alone loads no part of it, and no MCP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

if TYPE_CHECKING:
    from tidyllm.agents.agent import Agent
    from tidyllm.agents.agent_events import (
        AgentEvent,
        AnswerPiece,
        ApprovalAsked,
        ApprovalGiven,
        Observer,
        Pruned,
        Repaired,
        Stopped,
        ToolFinished,
        ToolStarted,
        TurnFinished,
        TurnStarted,
    )
    from tidyllm.agents.agent_tool import AgentTool, tool
    from tidyllm.agents.arbiter import Arbiter, Verdict
    from tidyllm.agents.archive import Archive
    from tidyllm.agents.call import Call, ToolResult
    from tidyllm.agents.conversation import Compaction, Conversation
    from tidyllm.agents.coordinator import Coordinator
    from tidyllm.agents.coordinator_events import (
        Checked,
        Consulted,
        Decided,
        PhaseChanged,
        ProjectEvent,
        ProjectObserver,
        ProjectStopped,
        TaskChanged,
        Warned,
    )
    from tidyllm.agents.decision import (
        AskUser,
        ChangePhase,
        ConsultSpecialist,
        ContinuePhase,
        Decision,
        Finish,
        decision_schema,
        read_decision,
    )
    from tidyllm.agents.detector import Detector, Done
    from tidyllm.agents.guards import GuardLimits
    from tidyllm.agents.limits import AgentLimits
    from tidyllm.agents.mcp_client import McpServer
    from tidyllm.agents.message_log import MessageLog, TeamMessage
    from tidyllm.agents.meter import Meter
    from tidyllm.agents.mode import chosen_mode
    from tidyllm.agents.parsed import Parsed, calls_of
    from tidyllm.agents.phases import Phase
    from tidyllm.agents.project import Goal, ProjectResult, ProjectStop
    from tidyllm.agents.prompt_builder import BuiltPrompt, PromptBuilder, Section
    from tidyllm.agents.result import AgentResult, AgentTask, TreeUsage
    from tidyllm.agents.review_types import Draft, ReviewResult, ReviewRound, ReviewStop, Ruling
    from tidyllm.agents.reviewing import ReviewLoop, review_loop
    from tidyllm.agents.specialist import Analysis, CodeWork, Finding, Reasoning, Specialist
    from tidyllm.agents.state import ProjectState
    from tidyllm.agents.stop import Stop, StopReason
    from tidyllm.agents.tasks import Task, TaskStatus
    from tidyllm.agents.team import Team, TeamResult
    from tidyllm.agents.toolset import Toolset
    from tidyllm.agents.workspace_toolset import workspace_tools

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentLimits",
    "AgentResult",
    "AgentTask",
    "AgentTool",
    "Analysis",
    "AnswerPiece",
    "ApprovalAsked",
    "ApprovalGiven",
    "Arbiter",
    "Archive",
    "AskUser",
    "BuiltPrompt",
    "Call",
    "ChangePhase",
    "Checked",
    "CodeWork",
    "Compaction",
    "ConsultSpecialist",
    "Consulted",
    "ContinuePhase",
    "Conversation",
    "Coordinator",
    "Decided",
    "Decision",
    "Detector",
    "Done",
    "Draft",
    "Finding",
    "Finish",
    "Goal",
    "GuardLimits",
    "McpServer",
    "MessageLog",
    "Meter",
    "Observer",
    "Parsed",
    "Phase",
    "PhaseChanged",
    "ProjectEvent",
    "ProjectObserver",
    "ProjectResult",
    "ProjectState",
    "ProjectStop",
    "ProjectStopped",
    "PromptBuilder",
    "Pruned",
    "Reasoning",
    "Repaired",
    "ReviewLoop",
    "ReviewResult",
    "ReviewRound",
    "ReviewStop",
    "Ruling",
    "Section",
    "Specialist",
    "Stop",
    "StopReason",
    "Stopped",
    "Task",
    "TaskChanged",
    "TaskStatus",
    "Team",
    "TeamMessage",
    "TeamResult",
    "ToolFinished",
    "ToolResult",
    "ToolStarted",
    "Toolset",
    "TreeUsage",
    "TurnFinished",
    "TurnStarted",
    "Verdict",
    "Warned",
    "calls_of",
    "chosen_mode",
    "decision_schema",
    "read_decision",
    "review_loop",
    "tool",
    "workspace_tools",
]

# No module is called like a name that it offers: importing it would put the module in the name's place.
_HOMES = {
    "tidyllm.agents.agent": ("Agent",),
    "tidyllm.agents.agent_events": (
        "AgentEvent",
        "AnswerPiece",
        "ApprovalAsked",
        "ApprovalGiven",
        "Observer",
        "Pruned",
        "Repaired",
        "Stopped",
        "ToolFinished",
        "ToolStarted",
        "TurnFinished",
        "TurnStarted",
    ),
    "tidyllm.agents.agent_tool": (
        "AgentTool",
        "tool",
    ),
    "tidyllm.agents.archive": ("Archive",),
    "tidyllm.agents.call": (
        "Call",
        "ToolResult",
    ),
    "tidyllm.agents.conversation": (
        "Compaction",
        "Conversation",
    ),
    "tidyllm.agents.detector": (
        "Detector",
        "Done",
    ),
    "tidyllm.agents.limits": ("AgentLimits",),
    "tidyllm.agents.mcp_client": ("McpServer",),
    "tidyllm.agents.meter": ("Meter",),
    "tidyllm.agents.parsed": (
        "Parsed",
        "calls_of",
    ),
    "tidyllm.agents.prompt_builder": (
        "BuiltPrompt",
        "PromptBuilder",
        "Section",
    ),
    "tidyllm.agents.result": (
        "AgentResult",
        "AgentTask",
        "TreeUsage",
    ),
    "tidyllm.agents.specialist": (
        "Analysis",
        "CodeWork",
        "Finding",
        "Reasoning",
        "Specialist",
    ),
    "tidyllm.agents.stop": (
        "Stop",
        "StopReason",
    ),
    "tidyllm.agents.toolset": ("Toolset",),
    "tidyllm.agents.workspace_toolset": ("workspace_tools",),
    "tidyllm.agents.arbiter": (
        "Arbiter",
        "Verdict",
    ),
    "tidyllm.agents.coordinator": ("Coordinator",),
    "tidyllm.agents.coordinator_events": (
        "Checked",
        "Consulted",
        "Decided",
        "PhaseChanged",
        "ProjectEvent",
        "ProjectObserver",
        "ProjectStopped",
        "TaskChanged",
        "Warned",
    ),
    "tidyllm.agents.decision": (
        "AskUser",
        "ChangePhase",
        "ConsultSpecialist",
        "ContinuePhase",
        "Decision",
        "Finish",
        "decision_schema",
        "read_decision",
    ),
    "tidyllm.agents.guards": ("GuardLimits",),
    "tidyllm.agents.message_log": (
        "MessageLog",
        "TeamMessage",
    ),
    "tidyllm.agents.mode": ("chosen_mode",),
    "tidyllm.agents.phases": ("Phase",),
    "tidyllm.agents.project": (
        "Goal",
        "ProjectResult",
        "ProjectStop",
    ),
    "tidyllm.agents.state": ("ProjectState",),
    "tidyllm.agents.tasks": (
        "Task",
        "TaskStatus",
    ),
    "tidyllm.agents.review_types": (
        "Draft",
        "ReviewResult",
        "ReviewRound",
        "ReviewStop",
        "Ruling",
    ),
    "tidyllm.agents.reviewing": (
        "ReviewLoop",
        "review_loop",
    ),
    "tidyllm.agents.team": (
        "Team",
        "TeamResult",
    ),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
