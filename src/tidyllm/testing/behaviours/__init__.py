"""Scripted models of every temper: functions of a request, for `ModelServer` and for `scripted`."""

from __future__ import annotations

from tidyllm.testing.behaviours.escapes import ESCAPES, cheating, escaping
from tidyllm.testing.behaviours.faults import busy, dying, garbled, slow, stalling, with_fault
from tidyllm.testing.behaviours.fit import fit
from tidyllm.testing.behaviours.fixer import Rule, fixer
from tidyllm.testing.behaviours.loops import looping, ping_pong, wandering
from tidyllm.testing.behaviours.malformed import (
    BROKEN_CALLS,
    BROKEN_DECISIONS,
    BROKEN_TEXTS,
    invalid_decision,
    malformed,
)
from tidyllm.testing.behaviours.registry import BEHAVIOURS, behaviour
from tidyllm.testing.behaviours.roles import PREFERRED, Behaviour, acting, role_answer
from tidyllm.testing.behaviours.talk import claiming, contradicting, empty, huge, prose, unknown_tool

__all__ = [
    "BEHAVIOURS",
    "BROKEN_CALLS",
    "BROKEN_DECISIONS",
    "BROKEN_TEXTS",
    "ESCAPES",
    "PREFERRED",
    "Behaviour",
    "Rule",
    "acting",
    "behaviour",
    "busy",
    "cheating",
    "claiming",
    "contradicting",
    "dying",
    "empty",
    "escaping",
    "fit",
    "fixer",
    "garbled",
    "huge",
    "invalid_decision",
    "looping",
    "malformed",
    "ping_pong",
    "prose",
    "role_answer",
    "slow",
    "stalling",
    "unknown_tool",
    "wandering",
    "with_fault",
]
