"""The steps from an empty database to the tables of `pipeline.control.tables`, for Alembic."""
