"""What kind of task a prompt is, told from its words. It knows signs, not meaning, and no model."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, get_args

import msgspec

__all__ = ["TASKS", "Task", "TaskFound", "detect_task"]

Task: TypeAlias = Literal["code", "maths", "summarise", "extract", "translate", "classify", "write", "chat"]

TASKS: tuple[str, ...] = get_args(Task)
"""All tasks that are told apart; `chat` is what has no other sign."""


class TaskFound(msgspec.Struct, frozen=True, kw_only=True):
    """A task and the words that gave it away."""

    task: Task
    signs: tuple[str, ...] = ()


def _rules(*pairs: tuple[str, float]) -> list[tuple[re.Pattern[str], float]]:
    return [(re.compile(pattern, re.IGNORECASE | re.MULTILINE), weight) for pattern, weight in pairs]


_LANGUAGES = (
    "english|german|french|spanish|italian|portuguese|dutch|polish|russian|ukrainian|turkish|arabic|hindi|chinese|"
    "mandarin|japanese|korean|swedish|danish|norwegian|finnish|greek|hebrew|latin|czech|vietnamese|thai"
)
_SIGNS: dict[Task, list[tuple[re.Pattern[str], float]]] = {
    "code": _rules(
        (r"```|^\s*(?:def|class|import|from \w+ import|#include|public static|func|fn) ", 3),
        (r"\b(?:python|javascript|typescript|rust|golang|java|c\+\+|sql|bash|regex|html|css|kotlin)\b", 1.5),
        (
            (
                r"\b(?:write|implement|create|fix|debug|refactor|review)\b.{0,40}"
                r"\b(?:function|code|script|class|program|query|test)s?\b"
            ),
            3,
        ),
        (r"\b(?:stack ?trace|traceback|compile[rs]?|segfault|unit tests?|pull request|exception)\b", 2),
        (r"[{};]\s*$|\w+\(\w*\)|->|==", 0.8),
    ),
    "maths": _rules(
        (r"\b(?:solve|compute|calculate|evaluate|prove|simplify|integrate|differentiate|factor)\b", 1.2),
        (
            r"\b(?:equation|integral|derivative|polynomial|matrix|probability|theorem|triangle|remainder|modulo)s?\b",
            2,
        ),
        (r"\bhow (?:many|much|far|long|old)\b", 1.2),
        (r"\\(?:frac|sqrt|boxed|sum|int)|\$[^$\n]{1,80}\$", 2.5),
        (r"\d\s*[-+*/^=]\s*\d|\b[xyz]\s*[=^+]\s*\d", 2),
        (r"\d+.*\d+.*\d+", 0.5),
        (r"\b(?:total|average|each|percent|twice|half|per (?:day|week|hour))\b", 0.6),
    ),
    "summarise": _rules(
        (r"\b(?:summari[sz]e|summary|tl;?dr|condense|abstract of)\b", 3),
        (r"\b(?:key|main) (?:points|takeaways|ideas)\b|\bin (?:one|two|three|a few) sentences?\b", 1.5),
    ),
    "extract": _rules(
        (r"\b(?:extract|pull out|parse|list all|find all|identify all|retrieve)\b", 2.5),
        (r"\b(?:as|into|in) (?:a )?(?:json|csv|table|yaml)\b", 1.5),
        (r"\b(?:names?|dates?|e-?mails?|phone numbers?|entities|addresses|invoice)\b.{0,40}\bfrom\b", 1.5),
    ),
    "translate": _rules(
        (r"\btranslat(?:e|ion|ing)\b", 3.5),
        (rf"\b(?:in|into|to|from) (?:{_LANGUAGES})\b", 1.2),
        (rf"\bhow do (?:you|i) say\b.*\b(?:{_LANGUAGES})\b", 3),
    ),
    "classify": _rules(
        (r"\b(?:classify|categori[sz]e|label|sentiment|spam or|which category|positive or negative)\b", 2.5),
        (r"^\s*\(?[A-E][.):]\s.+\n\s*\(?[B-F][.):]\s", 2),
        (r"\b(?:true or false|yes or no|multiple choice)\b", 1.5),
    ),
    "write": _rules(
        (
            (
                r"\b(?:write|draft|compose|rewrite|rephrase)\b.{0,40}\b(?:e-?mail|letter|essay|story|poem|article|blog|"
                r"post|speech|song|review|paragraph|text)s?\b"
            ),
            3,
        ),
        (r"\b(?:slogan|headline|tagline|haiku|lyrics)s?\b", 2),
        (r"\b(?:proofread|tone|more (?:formal|polite|concise))\b", 1.5),
    ),
}
_ENOUGH = 1.5
_READ = 4_000


def detect_task(prompt: str) -> TaskFound:
    """The kind of task: the strongest signs win; with too few it is `chat`. Long prompts are read at both ends."""
    text = prompt if len(prompt) <= 2 * _READ else f"{prompt[:_READ]}\n{prompt[-_READ:]}"
    best: TaskFound = TaskFound(task="chat")
    highest = _ENOUGH
    for task, rules in _SIGNS.items():
        score = 0.0
        signs: list[str] = []
        for pattern, weight in rules:
            found = pattern.search(text)
            if found is not None:
                score += weight
                signs.append(" ".join(found[0].split())[:30])
        if score > highest or (score == highest and best.task == "chat"):
            highest, best = score, TaskFound(task=task, signs=tuple(signs))
    return best
