"""Snapshots that earlier code wrote, as files of ``tests/data/snapshots``: code of now must read them."""

from pathlib import Path

import numpy as np

from pipeline.core.snapshots.snapshot import Snapshot

_FOLDER = Path(__file__).parents[2] / "data" / "snapshots"


def saved_snapshot(name: str) -> Snapshot:
    """Return the snapshot of a file: its records and arrays, each under its name."""
    with np.load(_FOLDER / f"{name}.npz") as file:
        records = {key.removeprefix("record."): file[key].tobytes() for key in file.files if key.startswith("record.")}
        arrays = {key.removeprefix("array."): file[key] for key in file.files if key.startswith("array.")}
        return Snapshot(int(file["offset"]), records, arrays)
