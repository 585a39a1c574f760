"""Codemods: from home-made wrappers and other libraries to this one. They need LibCST, and nothing else of ours.

A plan says what would become of each file and why some of it would not; applying it is all or nothing and can be taken
back to the byte. The rules that say which names are meant lie beside the code as TOML.
"""

from tidyllm.migrate.apply import Applied, apply, heal, rollback
from tidyllm.migrate.convert import Converted, convert
from tidyllm.migrate.count import Counts, count
from tidyllm.migrate.errors import CannotConvert, MigrateError, RulesError
from tidyllm.migrate.findings import FileResult, Finding
from tidyllm.migrate.plan import Plan, plan
from tidyllm.migrate.rules import PATTERNS, Rules, load, merged
from tidyllm.migrate.validate import Flaw, validate

__all__ = [
    "PATTERNS",
    "Applied",
    "CannotConvert",
    "Converted",
    "Counts",
    "FileResult",
    "Finding",
    "Flaw",
    "MigrateError",
    "Plan",
    "Rules",
    "RulesError",
    "apply",
    "convert",
    "count",
    "heal",
    "load",
    "merged",
    "plan",
    "rollback",
    "validate",
]
