from pathlib import Path

import pytest

from pipeline.runtime.secrets.channel_secrets import Secrets
from pipeline.runtime.secrets.sealing import make_key_file, read_key_file
from schemas.channel import Secret


def test_a_secret_comes_from_a_file_that_is_read_each_time(tmp_path: Path) -> None:
    secrets = Secrets(secrets_dir=tmp_path)
    (tmp_path / "hook").write_text("one\n")
    assert secrets.value(Secret(file="hook")) == "one"
    (tmp_path / "hook").write_text("two\n")
    assert secrets.value(Secret(file="hook")) == "two"


def test_a_sealed_secret_is_opened_with_the_control_services_keys(tmp_path: Path) -> None:
    key_file = tmp_path / "keys"
    make_key_file(key_file, where="test")
    sealed = read_key_file(key_file, where="test").seal("hunter2")
    assert "hunter2" not in sealed
    assert Secrets(secrets_key_file=key_file).value(Secret(sealed=sealed)) == "hunter2"


def test_a_secret_that_cannot_be_had_says_which_and_nothing_of_it(tmp_path: Path) -> None:
    keys, others = tmp_path / "keys", tmp_path / "others"
    for file in (keys, others):
        make_key_file(file, where="test")
    sealed = read_key_file(others, where="test").seal("hunter2")
    with pytest.raises(ValueError, match="sealed with another key"):
        Secrets(secrets_key_file=keys).value(Secret(sealed=sealed))
    with pytest.raises(ValueError, match=r"act\.secrets_key_file is not set"):
        Secrets().value(Secret(sealed=sealed))
    with pytest.raises(ValueError, match=r"secret hook: act\.secrets_dir is not set"):
        Secrets().value(Secret(file="hook"))
    with pytest.raises(ValueError, match="secret hook: cannot read"):
        Secrets(secrets_dir=tmp_path).value(Secret(file="hook"))
