"""What Alembic runs for a migration: `store/schema.py` gives the connection and its transaction."""

from __future__ import annotations

from alembic import context

from tidyllm.store.schema import VERSION_TABLE
from tidyllm.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
