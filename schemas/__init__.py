"""The contracts: records as pydantic models, their JSON Schema, and the metric catalogue."""
