"""A topic to a store, with patience while it is down."""
