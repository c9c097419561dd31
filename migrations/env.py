"""Run by Alembic for every command: `pool.adapters.schema` hands it a connection, `flask db` an app."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection

from pool.adapters.schema import locked, revisions
from pool.adapters.tables import db
from pool.adapters.tables.base import Line


def render_type(kind, item, _autogen_context):
    """A migration is history and must not import today's types."""
    if kind == "type" and isinstance(item, Line):
        return f"sa.String({item.length or ''})"
    return False


def number(_context, _revision, directives) -> None:
    """Revisions are 0001, 0002, …: the start reads the newest from a file name, without loading Alembic."""
    if directives:
        directives[0].rev_id = f"{len(revisions()) + 1:04d}"


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=render_type,
        process_revision_directives=number,
    )
    with context.begin_transaction():
        context.run_migrations()


if connection := context.config.attributes.get("connection"):
    run(connection)
else:
    with locked(current_app.config["SQLALCHEMY_DATABASE_URI"]) as connection:
        run(connection)
