"""What the embedded store alone promises: other processes, retention, and files that are not what they should be."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.stores.base import StoreUnavailable, WriteResult
from pipeline.stores.embedded.windows import EmbeddedStore
from tests.support.stores.windows import BASE_MS, MINUTE_MS, batch, functions, window
from tests.support.waiting import wait_until

HOUR = {"start_ms": BASE_MS, "end_ms": BASE_MS + 60 * MINUTE_MS}
DAY_MS = 86_400_000

READER = """
import sys
from pathlib import Path
from pipeline.stores.embedded.windows import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1]), read_only=True)
for line in sys.stdin:
    points = store.query_range("cpu", "x", "avg", start_ms=0, end_ms=1 << 45)
    batches = {point.value for point in points}
    whole = all(sum(point.value == batch for point in points) == 100 for batch in batches)
    print(len(points), whole, flush=True)
"""


def test_another_process_reads_whole_batches_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    store = EmbeddedStore(path)
    seen = []
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        written = 0
        while len(seen) < 20:
            reader.stdin.write("\n")
            reader.stdin.flush()
            for _ in range(3):  # while the other process reads
                store.write(batch(written))
                written += 1
            count, whole = reader.stdout.readline().split()
            assert whole == "True"
            seen.append(int(count))
        reader.stdin.close()
        assert reader.wait(20) == 0
    store.close()
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_a_reader_sees_what_was_written_before_it_and_after_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    writer = EmbeddedStore(path)
    writer.write(batch(0))
    reader = EmbeddedStore(path, read_only=True)
    assert len(reader.query_range("cpu", "x", "avg", **HOUR)) == 100
    writer.write(batch(1))
    assert len(reader.query_range("cpu", "x", "avg", **HOUR)) == 200
    writer.close()
    assert len(reader.query_range("cpu", "x", "avg", **HOUR)) == 200


def test_a_reader_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    EmbeddedStore(path).close()
    with pytest.raises(StoreUnavailable, match="is closed, or was opened only to read"):
        EmbeddedStore(path, read_only=True).write(batch(0))


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "windows.db"
    first = EmbeddedStore(path)
    first.write([window({"x": functions(1.0)}, revision=5)])
    first.close()
    second = EmbeddedStore(path)
    assert second.write([window({"x": functions(2.0)}, revision=4)]) == WriteResult(written=0, superseded=1)
    assert [point.value for point in second.query_range("cpu", "x", "avg", **HOUR)] == [1.0]
    second.close()


def test_a_killed_writer_loses_no_batch_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    script = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.stores.embedded.windows import EmbeddedStore\n"
        "from tests.support.stores.windows import batch\n"
        "store = EmbeddedStore(Path(sys.argv[1]))\n"
        "for n in range(1000000):\n    store.write(batch(n % 50))\n    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        lines = [writer.stdout.readline() for _ in range(20)]
        writer.kill()
    assert lines[-1] == "19\n"
    store = EmbeddedStore(path)
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) >= 2000
    store.close()


def test_windows_older_than_the_retention_are_deleted_and_newer_ones_stay(tmp_path: Path) -> None:
    now_ms = [BASE_MS]
    store = EmbeddedStore(tmp_path / "windows.db", retention_ms=DAY_MS, clock_ms=lambda: now_ms[0])
    store.write([window({"x": functions(1.0)}, tags={"host": "gone"})])
    now_ms[0] = BASE_MS + DAY_MS + 1
    store.write([window({"x": functions(2.0)}, tags={"host": "new"}, start_ms=now_ms[0])])
    points = store.query_range("cpu", "x", "avg", start_ms=0, end_ms=now_ms[0] + 1)
    assert [point.tags["host"] for point in points] == ["new"]
    store.close()


def test_a_series_that_is_gone_is_forgotten_and_may_come_back(tmp_path: Path) -> None:
    now_ms = [BASE_MS]
    path = tmp_path / "windows.db"
    store = EmbeddedStore(path, retention_ms=DAY_MS, clock_ms=lambda: now_ms[0])
    for day in range(4):
        now_ms[0] = BASE_MS + 2 * day * DAY_MS
        tags = {"host": "back" if day in {0, 3} else f"h{day}"}
        store.write([window({"x": functions(float(day))}, tags=tags, start_ms=now_ms[0])])
    (series,) = sqlite3.connect(path).execute("SELECT count(*) FROM series").fetchone()
    assert series <= 2
    (point,) = store.query_range("cpu", "x", "avg", start_ms=0, end_ms=now_ms[0] + 1)
    assert (point.tags, point.value) == ({"host": "back"}, 3.0)
    store.close()


def test_the_file_stays_bounded_under_retention(tmp_path: Path) -> None:
    now_ms = [BASE_MS]
    path = tmp_path / "windows.db"
    store = EmbeddedStore(path, retention_ms=10 * MINUTE_MS, clock_ms=lambda: now_ms[0])
    sizes = []
    for n in range(60):
        now_ms[0] = BASE_MS + n * MINUTE_MS
        store.write(batch(n))
        sizes.append(path.stat().st_size)
    store.close()
    assert max(sizes) <= 3 * max(sizes[:15])


def test_a_missing_file_cannot_be_read_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(StoreUnavailable, match=r"cannot read the embedded store .*none\.db: unable to open"):
        EmbeddedStore(path, read_only=True)
    assert not path.exists()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "letters.db"
    content = b"this is no database, but a text of some length" * 100
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"letters\.db: file is not a database"):
        EmbeddedStore(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_another_version_is_left_alone(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "later.db"
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 7")
    later.close()
    with pytest.raises(StoreUnavailable, match=r"no embedded store of version 1 \(it says 7\)"):
        EmbeddedStore(path, read_only=read_only)


def test_a_full_disk_is_unavailable_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "windows.db"
    store = EmbeddedStore(path)
    store.write(batch(0))
    (pages,) = store._file.writer().execute("PRAGMA page_count").fetchone()
    store._file.writer().execute(f"PRAGMA max_page_count = {pages}")  # as full as a disk can be
    with pytest.raises(StoreUnavailable, match=r"cannot write to the embedded store .*: database or disk is full"):
        store.write([record for n in range(1, 40) for record in batch(n)])
    store._file.writer().execute("PRAGMA max_page_count = 1000000")
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 100
    assert store.write(batch(1)) == WriteResult(written=100)
    store.close()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot open the embedded store"):
        EmbeddedStore(tmp_path / "file" / "windows.db")


def test_a_store_reads_while_its_own_process_writes(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "windows.db")
    store.write(batch(0))
    wait_until(lambda: store.query_top("cpu", "x", "avg", **HOUR), timeout_s=5, what="a first batch")
    store._file.writer().execute("BEGIN IMMEDIATE")
    assert len(store.query_range("cpu", "x", "avg", **HOUR)) == 100
    store._file.writer().execute("ROLLBACK")
    store.close()
