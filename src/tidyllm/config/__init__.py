"""Configuration: the file `tidyllm.yaml`, and the named routes built from it."""

from tidyllm.config.problem import Problem
from tidyllm.config.read import Findings, inspect, problems, read
from tidyllm.config.routes import Route, Routes, load
from tidyllm.config.schema import Settings
from tidyllm.config.secrets import secret

__all__ = [
    "Findings",
    "Problem",
    "Route",
    "Routes",
    "Settings",
    "inspect",
    "load",
    "problems",
    "read",
    "secret",
]
