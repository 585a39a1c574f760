"""The one `MetaData` that every table of ours stands on, with names for constraints that both databases share."""

from __future__ import annotations

from sqlalchemy import MetaData

__all__ = ["metadata"]

# Without names of its own, a constraint could not be changed by a later migration.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
