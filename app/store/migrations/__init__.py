"""The history of the tables, as Alembic revisions; `app.store.migrate` applies them."""
