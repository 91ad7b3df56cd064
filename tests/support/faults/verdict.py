"""What must hold after any fault: what lies on the topics and in the store is what an undisturbed run leaves there."""

import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import topics
from schemas.records import DeadLetter
from tests.support.core.reference_windows import Record
from tests.support.faults.load import backlog_host, backlog_times_ms
from tests.support.faults.system import System
from tests.support.stages.brokers import Stored, read_topic
from tests.support.stages.databases import assert_same_points, points_in_influxdb, points_of
from tests.support.stages.streams import Expected, Place, assert_equal, decoded, expected, latest

AUDIT_TIMEOUT_S = 120.0


def assert_undisturbed(system: System, *, stores: Mapping[str, Collection[str | None]] | None = None) -> None:
    """Check windows against the reference, then store, dead letters, the balance and the audit.

    Parameters
    ----------
    stores
        The regions that each bucket holds, None for records without one; by default the system's bucket holds all.
    """
    raw = read_topic(system.broker, topics.METRICS_RAW)
    want = expected(raw, system.settings)
    emitted = decoded(read_topic(system.broker, topics.METRICS_AGG))
    got = latest(emitted)
    assert_equal(got, latest(want.records))
    assert_balanced(got, want)
    dead_letters = read_dead_letters(system)
    assert_dead_letters(dead_letters, want)
    for bucket, regions in (stores or {system.bucket: ()}).items():
        of_bucket = [record for record in emitted if not regions or record["tags"].get("region") in regions]
        assert_same_points(points_in_influxdb(system.influxdb, bucket), points_of(of_bucket))
    assert not [dead_letter for dead_letter in dead_letters if dead_letter.stage.startswith("sink")]
    assert_audit_passes(system)


def assert_balanced(got: Mapping[Place, Record], want: Expected) -> None:
    """Every sample is in a window, too late, or open; nothing is there twice."""
    counts = want.counts
    assert counts["parsed"] == counts["aggregated"] + counts["late"] + counts["too_late"] + want.open_samples
    in_windows = sum(field["count"] for record in got.values() for field in record["fields"].values())
    assert in_windows == counts["aggregated"] + counts["late"]


def read_dead_letters(system: System) -> list[DeadLetter]:
    return [DeadLetter.model_validate_json(one.value) for one in read_topic(system.broker, topics.DEAD_LETTERS)]


def assert_dead_letters(dead_letters: Sequence[DeadLetter], want: Expected) -> None:
    """None is missing and none is extra; a crash may write one again, of which only a clock in its text may differ."""
    of_place: dict[Any, Any] = {}
    for dead_letter in dead_letters:
        if dead_letter.stage == "aggregate":
            place = (dead_letter.partition, dead_letter.offset, dead_letter.line, dead_letter.column)
            assert of_place.setdefault(place, (dead_letter.reason, dead_letter.value)) == (
                dead_letter.reason,
                dead_letter.value,
            )
    assert len(of_place) == want.counts["refused"]


def assert_backlogs_whole(system: System) -> None:
    """Every sample of the agents that were cut off is in a window but those of the window that idled out."""
    stored = decoded(read_topic(system.broker, topics.METRICS_AGG))
    for partition in range(4):
        counted = sum(
            record["fields"]["usage_user"]["count"]
            for record in latest(stored).values()
            if record["measurement"] == "cpu" and record["tags"].get("node_id") == backlog_host(partition)
        )
        assert len(backlog_times_ms()) - 1 <= counted <= len(backlog_times_ms())


def windows_without(stored: Sequence[Stored], nodes: Collection[str]) -> dict[Any, Any]:
    """Return the fields of the latest revisions of all windows but those of some nodes, wherever they lie."""
    return {
        (measurement, tags, start_ms): record["fields"]
        for (_, measurement, tags, start_ms), record in latest(decoded(stored)).items()
        if dict(tags).get("node_id") not in nodes
    }


def assert_audit_passes(system: System) -> None:
    """Run ``cinnamon audit`` as an operator does, with the workers' settings; it must prove the whole log."""
    place = ["--config", str(system.settings_file), "--bootstrap", system.broker.bootstrap_servers]
    command = [sys.executable, "-m", "pipeline", "audit", *place, "--from", "0", "--to", "now"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"audit ended with {done.returncode}:\n{done.stdout}{done.stderr}"
