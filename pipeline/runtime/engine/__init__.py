"""The Faust engine: a fetch's records to a stage, one call at a time."""
