"""Alembic's entry: run the revisions on the connection that `app.store.migrate` opened."""

from alembic import context
from sqlmodel import SQLModel

import app.models  # noqa: F401 - registers the tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
