"""Documents of files put into the database, where it has none of their ids: as when a service is first started."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from pipeline.control.documents import Documents, DraftDocument, Link, MissingError, TakenError
from pipeline.control.families import CHANNEL, FAMILIES, Family

__all__ = ["GivenDocument", "LoadError", "load_new"]

LOADER: Final = "loaded"
"""By whom what is loaded was changed."""
_BY_KIND: Final = {family.kind: family for family in FAMILIES if family.kind != CHANNEL}


class LoadError(ValueError):
    """A document that cannot be stored; the message names it."""


class GivenDocument(NamedTuple):
    """A document of a file."""

    kind: str
    document: dict[str, Any]


def load_new(documents: Documents, given: Iterable[GivenDocument]) -> int:
    """Store documents of the whole platform that are not there yet, what others name first; return how many.

    Raises
    ------
    LoadError
        If one is of a kind that is not loaded from files (channels hold secrets), or names what is not there.
    """
    drafts = [_draft(each) for each in given]
    order = {family.kind: place for place, family in enumerate(reversed(FAMILIES))}
    stored = 0
    for draft in sorted(drafts, key=lambda draft: order[draft.kind]):
        try:
            documents.create(draft, LOADER)
        except TakenError:
            continue
        except MissingError as error:
            named = ", ".join(f"{link.kind}/{link.id}" for link in documents.missing_links(draft))
            raise LoadError(f"{draft.kind}/{draft.id} names {named}, which is not there") from error
        stored += 1
    return stored


def _draft(given: GivenDocument) -> DraftDocument:
    family = _BY_KIND.get(given.kind)
    if family is None:
        raise LoadError(f"kind {given.kind} is not loaded from files: only {', '.join(sorted(_BY_KIND))}")
    document = given.document
    return DraftDocument(given.kind, str(document["id"]), None, document, tuple(_links(family, document)))


def _links(family: Family, document: dict[str, Any]) -> list[Link]:
    return family.links(family.model.model_validate(document))
