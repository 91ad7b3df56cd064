"""The JSON Schema of every record, as text that is the same on every machine."""

import json

from schemas.anomaly import Anomaly
from schemas.records import AggregatedWindow, DeadLetter, Record

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: dict[str, type[Record]] = {
    "aggregated_window.json": AggregatedWindow,
    "anomaly.json": Anomaly,
    "dead_letter.json": DeadLetter,
}
"""The models by the name of their file in ``schemas/json/``."""


def json_schemas() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    return {
        name: json.dumps({"$schema": DIALECT} | model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
        for name, model in RECORDS.items()
    }
