"""The JSON Schema of every record and policy, as text that is the same on every machine."""

import json

from pydantic import BaseModel

from schemas.alert import AlertEvent
from schemas.anomaly import Anomaly
from schemas.detection_rule import DetectionRule
from schemas.downsampled import DownsampledChunk
from schemas.records import AggregatedWindow, DeadLetter, Record
from schemas.trigger_policy import TriggerPolicy

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: dict[str, type[Record]] = {
    "aggregated_window.json": AggregatedWindow,
    "alert.json": AlertEvent,
    "anomaly.json": Anomaly,
    "dead_letter.json": DeadLetter,
    "downsampled_chunk.json": DownsampledChunk,
}
"""The models by the name of their file in ``schemas/json/``."""
POLICIES: dict[str, type[BaseModel]] = {"detection_rule.json": DetectionRule, "trigger_policy.json": TriggerPolicy}
"""Those of policies, as they are written in files and on ``policies``."""


def json_schemas() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    models: dict[str, type[BaseModel]] = {**RECORDS, **POLICIES}
    return {
        name: json.dumps({"$schema": DIALECT} | model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
        for name, model in models.items()
    }
