"""Snapshots in a local directory, beside those in Kafka: a restart on the same machine reads them from the disk.

A file is a snapshot's bytes, block after block, and named by its generation; what is right is what its manifest in
Kafka says. So a file that is old, damaged or another's is never believed.
"""

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.core.snapshots.codec import LARGEST_BLOCK_BYTES, Assembly, Manifest, SnapshotError
from pipeline.core.snapshots.snapshot import Piece, Snapshot

logger = logging.getLogger(__name__)

KEPT: Final = 2
_SUFFIX: Final = ".snapshot"
_UNFINISHED: Final = ".tmp"


class SnapshotCache:
    """The two newest snapshots of each owner.

    Parameters
    ----------
    directory
        Where they are kept; made when absent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, manifest: Manifest, pieces: Sequence[Piece]) -> None:
        """Keep a whole snapshot, and delete all but the newest two; what the disk refuses is logged."""
        folder = self._directory / manifest.owner
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write(folder, manifest.generation, pieces)
            self._tidy(folder)
        except OSError as error:
            logger.warning("the snapshot of %s is in Kafka and not in %s: %s", manifest.owner, folder, error)

    def read(self, manifest: Manifest) -> Snapshot | None:
        """Return the snapshot of a manifest, None if there is no good file of it."""
        path = self._directory / manifest.owner / f"{manifest.generation}{_SUFFIX}"
        assembly = Assembly(manifest)
        buffer = memoryview(bytearray(LARGEST_BLOCK_BYTES))
        try:
            with path.open("rb", buffering=0) as file:
                for key, block in manifest.blocks():
                    length = file.readinto(buffer[: block.length])
                    assembly.put(key, buffer[:length])
                return assembly.snapshot()
        except FileNotFoundError:
            return None
        except (OSError, SnapshotError) as error:
            logger.warning("%s is not used, the snapshot is read from Kafka: %s", path, error)
            return None

    def _write(self, folder: Path, generation: str, pieces: Sequence[Piece]) -> None:
        descriptor, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=folder)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, which has no path
                file.writelines(piece.data for piece in pieces)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(folder / f"{generation}{_SUFFIX}")
            _sync(folder)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _tidy(self, folder: Path) -> None:
        newest_first = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in (*newest_first[KEPT:], *folder.glob(f"*{_UNFINISHED}")):
            path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
