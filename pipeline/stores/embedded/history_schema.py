"""The tables of an embedded store of history, and its statements."""

VERSION = 1001
"""``user_version`` of the file: no version of a store of windows."""

# A chunk is a row, its points with it: a newer revision replaces all of them at once. A series' chunks lie in one
# stretch of the key. AUTOINCREMENT: an id is never given twice, so that another connection's memory of a deleted series
# cannot mislead it.
TABLES = """
CREATE TABLE IF NOT EXISTS series (
    series_id INTEGER PRIMARY KEY AUTOINCREMENT,
    measurement TEXT NOT NULL,
    field TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (measurement, field, tags)
) STRICT;
CREATE TABLE IF NOT EXISTS chunks (
    series_id INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    gap INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL, sigma REAL NOT NULL, max_error REAL NOT NULL,
    series_class TEXT NOT NULL, encoder TEXT NOT NULL, points TEXT NOT NULL,
    PRIMARY KEY (series_id, start_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    topic TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    identity BLOB NOT NULL,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (topic, time_ms, identity)
) STRICT, WITHOUT ROWID;
"""

FIND_OR_ADD_SERIES = """
INSERT INTO series (measurement, field, tags) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET field = excluded.field RETURNING series_id
"""

UPSERT_CHUNK = """
INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    end_ms = excluded.end_ms, revision = excluded.revision, last_ms = excluded.last_ms, gap = excluded.gap,
    count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max, sigma = excluded.sigma,
    max_error = excluded.max_error, series_class = excluded.series_class, encoder = excluded.encoder,
    points = excluded.points
WHERE excluded.revision >= revision
"""

DELETE_WITHIN = "DELETE FROM chunks WHERE series_id = ? AND start_ms > ? AND start_ms < ?"
"""Chunks that begin inside of another: it was cut otherwise when they were written."""

UPSERT_EVENT = """
INSERT INTO events VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET revision = excluded.revision, record = excluded.record WHERE excluded.revision >= revision
"""

DELETE_OLD = (
    "DELETE FROM chunks WHERE end_ms < ?",
    "DELETE FROM events WHERE time_ms < ?",
)

# By series, then by time. Tags are compared one by one: the text of a series' tags is in the order of the keys.
CHUNKS = """
SELECT series.tags, start_ms, end_ms, last_ms, gap, count, sum, min, max, sigma, points
FROM series JOIN chunks USING (series_id)
WHERE measurement = ? AND field = ? AND start_ms < ? AND end_ms > ?{carrying}
ORDER BY series.tags, start_ms
"""

EVENTS = "SELECT record FROM events WHERE topic = ? AND time_ms >= ? AND time_ms < ? ORDER BY time_ms LIMIT ?"


def chunks_statement(*, tags: int) -> str:
    """Return the query for the chunks of a range, with a condition for each of so many tags."""
    condition = " AND EXISTS (SELECT 1 FROM json_each(series.tags) WHERE key = ? AND atom = ?)"
    return CHUNKS.format(carrying=condition * tags)
