"""The kernels compiled before a command needs them: once an installation, and never without a word."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from pipeline import __version__
from pipeline.core.kernel_stamp import IN_TREE, stamp_in

_SPEAK_EVERY_S: Final = 15.0


def ensure_kernels() -> None:
    """Compile the kernels if this installation has not got them yet, and say so on standard error.

    Where they are kept: ``NUMBA_CACHE_DIR``, else beside the modules, else in the user's cache, else in a temporary
    folder, for this run alone; the first that can be written. Call it before anything imports numba, which reads
    where its cache is at its import; the children of this process inherit it.

    Raises
    ------
    typer.Exit
        With 1, if they cannot be compiled.
    """
    folder = next(writable_folders(), None)
    if folder is None:
        typer.echo("the kernels' cache cannot be written anywhere: set NUMBA_CACHE_DIR to a folder that can", err=True)
        raise typer.Exit(1)
    if folder == IN_TREE:
        os.environ.pop("NUMBA_CACHE_DIR", None)
    else:
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if not is_warm(folder):
        _compile()


def writable_folders() -> Iterator[Path]:
    """Yield where the kernels may be kept, the best first."""
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        yield from _made(Path(given))
    if os.access(IN_TREE if IN_TREE.exists() else IN_TREE.parent, os.W_OK):
        yield IN_TREE
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # nobody's home
        pass
    else:
        yield from _made(cache / "cinnamon" / f"kernels-{__version__}")
    try:
        temporary = Path(tempfile.mkdtemp(prefix="cinnamon-kernels-"))
    except OSError:
        return
    typer.echo(f"the kernels' cache cannot be kept: they go to {temporary} (NUMBA_CACHE_DIR names another)", err=True)
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    yield temporary


def _made(folder: Path) -> Iterator[Path]:
    """Yield the folder, made, if files can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        yield folder.absolute()


def is_warm(folder: Path) -> bool:
    """Return whether the kernels were compiled since the package was installed."""
    try:
        return stamp_in(folder).stat().st_mtime >= IN_TREE.with_name("compiled.py").stat().st_mtime
    except FileNotFoundError:
        return False


def _compile() -> None:
    """Compile them in a process of its own, whose memory goes with it, and speak now and then."""
    typer.echo("compiling the kernels, once: two to three minutes …", err=True)
    begun_s = time.monotonic()
    # -P: a folder named pipeline in the current directory is not ours
    command = [sys.executable, "-P", "-m", "pipeline.core.warm"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  a list of ours, no shell
        while True:
            try:
                _, errors = process.communicate(timeout=_SPEAK_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                typer.echo(f"… {time.monotonic() - begun_s:.0f} s", err=True)
            except KeyboardInterrupt:
                process.kill()
                raise
    if process.returncode != 0:
        typer.echo(f"the kernels could not be compiled:\n{errors.strip()}", err=True)
        raise typer.Exit(1)
    typer.echo(f"compiled in {time.monotonic() - begun_s:.0f} s", err=True)
