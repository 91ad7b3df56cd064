"""The tables of the embedded store, and its statements."""

VERSION = 1
"""``user_version`` of the file; a file of another version is not touched."""

# `metrics` and `series` are interned, so that a row of `windows` holds integers and floats alone. The key starts with
# the metric and the time: a range and a top-N read one stretch of it, and what arrives together is written together.
# AUTOINCREMENT: an id is never given twice, so that another process's memory of a deleted series cannot mislead it.
TABLES = """
CREATE TABLE IF NOT EXISTS metrics (
    metric_id INTEGER PRIMARY KEY,
    measurement TEXT NOT NULL,
    field TEXT NOT NULL,
    UNIQUE (measurement, field)
) STRICT;
CREATE TABLE IF NOT EXISTS series (
    series_id INTEGER PRIMARY KEY AUTOINCREMENT,
    tags TEXT NOT NULL UNIQUE,
    last_start_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS windows (
    metric_id INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    min REAL, max REAL, avg REAL, last REAL, first REAL, sum REAL, count INTEGER, increase REAL, rate REAL,
    PRIMARY KEY (metric_id, start_ms, series_id)
) STRICT, WITHOUT ROWID;
"""

FIND_OR_ADD_METRIC = """
INSERT INTO metrics (measurement, field) VALUES (?, ?)
ON CONFLICT (measurement, field) DO UPDATE SET field = excluded.field RETURNING metric_id
"""

FIND_OR_ADD_SERIES = """
INSERT INTO series (tags, last_start_ms) VALUES (?, ?)
ON CONFLICT (tags) DO UPDATE SET last_start_ms = max(last_start_ms, excluded.last_start_ms) RETURNING series_id
"""

UPSERT_WINDOW = """
INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (metric_id, start_ms, series_id) DO UPDATE SET
    end_ms = excluded.end_ms, revision = excluded.revision, min = excluded.min, max = excluded.max, avg = excluded.avg,
    last = excluded.last, first = excluded.first, sum = excluded.sum, count = excluded.count,
    increase = excluded.increase, rate = excluded.rate
WHERE excluded.revision >= revision
"""

REVISION_OF_WINDOW = """
SELECT revision FROM windows WHERE metric_id = ? AND start_ms = ? AND series_id = ?
"""

# By metric, then by the key's time: each metric's stretch of the range is read in one go.
SCAN = """
SELECT tags, measurement, field, start_ms, min, max, avg, last, count, increase, rate
FROM metrics CROSS JOIN windows USING (metric_id) CROSS JOIN series USING (series_id)
WHERE start_ms >= ? AND start_ms < ?
"""

DELETE_OLD_WINDOWS = """
DELETE FROM windows WHERE metric_id = ? AND start_ms < ?
"""

DELETE_OLD_SERIES = """
DELETE FROM series WHERE last_start_ms < ?
"""

# How the windows of a range become one value, by function. The names are those of columns too: a closed set, so that
# no name from outside enters a statement. SQLite takes a bare column (last) from the row that has the max().
REDUCTIONS = {
    "min": "min(min)",
    "max": "max(max)",
    "avg": "sum(sum) / sum(count)",
    "last": "last, max(start_ms)",
    "count": "sum(count)",
    "increase": "sum(increase)",
    "rate": "avg(rate)",
}


def range_statement(function: str, *, tags: int) -> str:
    """Return the query for a range, with a condition for each of so many tags."""
    if function not in REDUCTIONS:
        raise ValueError(f"unknown function {function!r}")
    return (
        f"SELECT start_ms, {function}, tags FROM windows JOIN series USING (series_id) "  # noqa: S608 - closed set
        f"WHERE metric_id = ? AND start_ms >= ? AND start_ms < ? AND {function} IS NOT NULL{_carrying(tags)} "
        "ORDER BY start_ms, tags LIMIT ?"
    )


def top_statement(function: str, *, tags: int, by_tag: bool) -> str:
    """Return the query for the greatest series of a range; with ``by_tag`` the greatest of each value of a tag."""
    if function not in REDUCTIONS:
        raise ValueError(f"unknown function {function!r}")
    value, *last = REDUCTIONS[function].split(", ")
    reduced = ", ".join([f"{value} AS total", *last])
    per_series = (
        f"SELECT series_id, {reduced} FROM windows "  # noqa: S608 - closed set
        f"WHERE metric_id = ? AND start_ms >= ? AND start_ms < ? AND {function} IS NOT NULL{_carrying(tags)} "
        "GROUP BY series_id"
    )
    if by_tag:
        return (
            f"SELECT json_object(?, tag.atom), max(total) AS greatest FROM ({per_series}) "  # noqa: S608 - closed set
            "JOIN series USING (series_id), json_each(tags) AS tag WHERE tag.key = ? "
            "GROUP BY tag.atom ORDER BY greatest DESC, tag.atom LIMIT ?"
        )
    return (
        f"SELECT tags, total FROM ({per_series}) "  # noqa: S608 - closed set
        "JOIN series USING (series_id) ORDER BY total DESC, tags LIMIT ?"
    )


def _carrying(tags: int) -> str:
    """Return the condition on series that carry so many tags, each given as key and value."""
    if not tags:
        return ""
    conditions = " AND ".join(["EXISTS (SELECT 1 FROM json_each(tags) WHERE key = ? AND atom = ?)"] * tags)
    return f" AND series_id IN (SELECT series_id FROM series WHERE {conditions})"  # noqa: S608 - closed set
