"""``config check`` opens every file and folder that the settings name, and says of all what is wrong."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pipeline.factory import Settings, load_settings
from pipeline.settings.files import PathUse, file_mistakes, path_use
from pipeline.settings.loading import section_in


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with the files that a settings file in a folder names, ``DIR`` for the folder."""
    file = tmp_path / "cinnamon.yaml"
    file.write_text(text.replace("DIR", str(tmp_path)))
    return [line.replace(str(tmp_path), "DIR") for line in file_mistakes(load_settings(file))]


def holds_path(annotation: Any) -> bool:
    return annotation is Path or any(map(holds_path, get_args(annotation)))


def models(model: type[BaseModel]) -> list[type[BaseModel]]:
    sections = [section_in(field.annotation) for field in model.model_fields.values()]
    return [model, *(inner for section in sections if section is not None for inner in models(section))]


def test_every_path_of_the_settings_says_what_it_must_lead_to() -> None:
    uses = {
        f"{model.__name__}.{name}": path_use(field.annotation, field.metadata)
        for model in models(Settings)
        for name, field in model.model_fields.items()
        if holds_path(field.annotation)
    }

    assert len(uses) >= 15
    assert [name for name, use in uses.items() if use is None] == []


MISSING = "No such file or directory"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("kafka: {ssl_ca_file: DIR/x}", f"kafka.ssl_ca_file: cannot read DIR/x: {MISSING}"),
        ("act: {ssl_ca_file: DIR/x}", f"act.ssl_ca_file: cannot read DIR/x: {MISSING}"),
        ("act: {secrets_dir: DIR/x}", f"act.secrets_dir: cannot read DIR/x: {MISSING}"),
        ("act: {scripts_dir: DIR/file}", "act.scripts_dir: cannot read DIR/file: Not a directory"),
        ("act: {secrets_key_file: DIR/x}", f"act.secrets_key_file: cannot read DIR/x: {MISSING}"),
        ("act: {secrets_key_file: DIR/file}", "act.secrets_key_file: must hold Fernet keys, one a line"),
        ("control: {secrets_key_file: DIR/file}", "control.secrets_key_file: must hold Fernet keys, one a line"),
        ("control: {database_file: DIR}", "control.database_file: cannot write DIR: Is a directory"),
        ("worker: {checkpoint_dir: DIR/file}", "worker.checkpoint_dir: cannot write DIR/file: Not a directory"),
        ("worker: {checkpoint_dir: DIR/file/x}", "worker.checkpoint_dir: cannot write DIR/file/x: Not a directory"),
        (
            "stores: [{name: a, kind: embedded, path: DIR/file/x.db}]",
            "stores.a.path: cannot write DIR/file/x.db: Not a directory",
        ),
    ],
)
def test_what_cannot_be_opened_is_named_with_its_setting(text: str, mistake: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no key\n")

    [found] = mistakes(tmp_path, text)

    assert found.startswith(mistake)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = "act: {scripts_dir: DIR/x, secrets_dir: DIR/y}\nkafka: {ssl_ca_file: DIR/z}"

    assert [line.partition(":")[0] for line in mistakes(tmp_path, text)] == [
        "kafka.ssl_ca_file",
        "act.secrets_dir",
        "act.scripts_dir",
    ]


def test_what_is_made_when_it_is_missing_is_no_mistake_and_is_not_made(tmp_path: Path) -> None:
    text = "worker: {checkpoint_dir: DIR/a/b}\ncontrol: {database_file: DIR/a/c.db}\nact: {job_folder: /nowhere/x}"

    assert mistakes(tmp_path, text) == []
    assert [path.name for path in tmp_path.iterdir()] == ["cinnamon.yaml"]


def test_a_path_has_one_use() -> None:
    assert path_use(Path, [PathUse.READ_FILE]) is PathUse.READ_FILE
    assert path_use(str) is None
