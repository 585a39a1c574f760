"""Configuration: the file `tidyllm.yaml`, and the named routes built from it."""

from tidyllm.config.check import Problem
from tidyllm.config.read import problems, read
from tidyllm.config.routes import Route, Routes, load
from tidyllm.config.schema import Settings

__all__ = ["Problem", "Route", "Routes", "Settings", "load", "problems", "read"]
