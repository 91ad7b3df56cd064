"""What Alembic runs: the migrations on the connection that it was given, in the caller's transaction."""

from alembic import context

from pipeline.control.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
