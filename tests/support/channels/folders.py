"""A folder that any user can look into: pytest's own are its user's alone, and scripts run as nobody under root."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """Have an empty folder for a while."""
    with tempfile.TemporaryDirectory(prefix="cinnamon-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
