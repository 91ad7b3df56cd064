"""The empty file beside the compiled kernels that says that all of them are there."""

from importlib.metadata import version
from pathlib import Path
from typing import Final

from pipeline import __version__

IN_TREE: Final = Path(__file__).with_name("__pycache__")
"""Where it is when the kernels are cached beside their modules."""


def stamp_in(folder: Path) -> Path:
    """Return the file in a cache's folder: another version of ours or of numba has another one."""
    return folder / f"kernels-{__version__}-numba-{version('numba')}"
