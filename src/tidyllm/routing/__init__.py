"""Which model answers: by task, by constraint, by a policy that was learned, or by experiment.

It imports numpy only where a policy learns or predicts, scikit-learn only where one learns, and matplotlib only where
one is drawn.
"""

from tidyllm.routing.candidate import Candidate, Needs
from tidyllm.routing.curve import Point, apgr
from tidyllm.routing.experiment import ABSettings, ArmReport, Experiment, ExperimentReport
from tidyllm.routing.feedback import Feedback, read_feedback, record_feedback, recorded_outcomes
from tidyllm.routing.latency import Latencies
from tidyllm.routing.learned import LearnedPolicy, Prediction
from tidyllm.routing.outcomes import Outcome, Outcomes, read_outcomes
from tidyllm.routing.router import Router
from tidyllm.routing.selector import Choice, Considered, Selector
from tidyllm.routing.tasks import TASKS, detect_task

__all__ = [
    "TASKS",
    "ABSettings",
    "ArmReport",
    "Candidate",
    "Choice",
    "Considered",
    "Experiment",
    "ExperimentReport",
    "Feedback",
    "Latencies",
    "LearnedPolicy",
    "Needs",
    "Outcome",
    "Outcomes",
    "Point",
    "Prediction",
    "Router",
    "Selector",
    "apgr",
    "detect_task",
    "read_feedback",
    "read_outcomes",
    "record_feedback",
    "recorded_outcomes",
]
