"""The JSON Schema of every record and policy, as text that is the same on every machine."""

import json

from pydantic import BaseModel

from schemas.action import Action
from schemas.alert import AlertEvent
from schemas.anomaly import Anomaly
from schemas.channel import Channel
from schemas.detection_rule import DetectionRule
from schemas.downsampled import DownsampledChunk
from schemas.records import AggregatedWindow, DeadLetter, Record
from schemas.scenario import Scenario
from schemas.script import Approval, Script
from schemas.silence import Acknowledgement, Inhibition, Maintenance, Silence
from schemas.trigger_policy import TriggerPolicy

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: dict[str, type[Record]] = {
    "action.json": Action,
    "aggregated_window.json": AggregatedWindow,
    "alert.json": AlertEvent,
    "anomaly.json": Anomaly,
    "dead_letter.json": DeadLetter,
    "downsampled_chunk.json": DownsampledChunk,
}
"""The models by the name of their file in ``schemas/json/``."""
POLICIES: dict[str, type[BaseModel]] = {
    "acknowledgement.json": Acknowledgement,
    "approval.json": Approval,
    "channel.json": Channel,
    "detection_rule.json": DetectionRule,
    "inhibition.json": Inhibition,
    "maintenance.json": Maintenance,
    "scenario.json": Scenario,
    "script.json": Script,
    "silence.json": Silence,
    "trigger_policy.json": TriggerPolicy,
}
"""Those of policies, as they are written in files and on ``policies``."""


def json_schemas() -> dict[str, str]:
    """Return the text of each schema file by its name."""
    models: dict[str, type[BaseModel]] = {**RECORDS, **POLICIES}
    return {
        name: json.dumps({"$schema": DIALECT} | model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
        for name, model in models.items()
    }
