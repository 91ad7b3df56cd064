"""A topic's record as its model, or one line that says why it is none."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def read_record(model: type[Model], record: bytes, topic: str) -> Model:
    """Return the record; ValueError, with the first place that is wrong and what was expected, if it is none."""
    try:
        return model.model_validate_json(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"not a record of {topic}: {f'{where}: ' if where else ''}{first['msg']}") from error
