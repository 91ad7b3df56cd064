"""Where the compiled kernels are kept, and when they count as compiled. That they are compiled: tests/deploy."""

import os
from pathlib import Path

import pytest

from pipeline.cli.kernels import ensure_kernels, is_warm, writable_folders
from pipeline.core.kernel_stamp import IN_TREE, stamp_in


def test_the_folder_that_the_environment_names_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))

    assert next(writable_folders()) == tmp_path / "kernels"


def test_without_one_they_are_beside_the_modules_and_then_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = writable_folders()

    assert next(folders) == IN_TREE
    assert next(folders).parent == tmp_path / "cinnamon"


def test_a_folder_that_cannot_be_made_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "kernels"))

    assert next(writable_folders()) == IN_TREE


def test_where_nothing_is_kept_a_temporary_folder_is_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    *_, last = writable_folders()

    assert last.is_dir()
    assert capsys.readouterr().err == (
        f"the kernels' cache cannot be kept: they go to {last} (NUMBA_CACHE_DIR names another)\n"
    )


def test_compiled_kernels_are_used_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    stamp_in(tmp_path).touch()

    ensure_kernels()

    assert capsys.readouterr().err == ""
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)


def test_kernels_compiled_before_the_package_was_installed_do_not_count(tmp_path: Path) -> None:
    assert not is_warm(tmp_path)
    stamp_in(tmp_path).touch()
    assert is_warm(tmp_path)
    os.utime(stamp_in(tmp_path), (0, 0))
    assert not is_warm(tmp_path)
