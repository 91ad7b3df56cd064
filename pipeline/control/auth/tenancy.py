"""Whose a document is, and that a tenant's reaches nobody else."""

from http import HTTPStatus

from pydantic import BaseModel

from pipeline.control.auth.principal import Principal, Role
from pipeline.control.channel_secrets import GivenChannel, files_of
from pipeline.control.documents import Link
from pipeline.control.families import SCRIPT, Family, steps_of
from pipeline.control.routes.problems import Mistake, ProblemError
from schemas.scenario import Scenario

__all__ = ["owner_of", "require_allowed", "unmet"]


def owner_of(document: BaseModel, family: Family, principal: Principal, wanted: str | None) -> str | None:
    """Return the namespace that a document belongs to; None: the platform.

    Parameters
    ----------
    document, family
        What is to be stored.
    principal
        Who stores it.
    wanted
        The namespace that was asked for; none: the only one of the principal, or the only one of the targets.

    Raises
    ------
    ProblemError
        If it is not the principal's, does not follow from its targets, or a target of the document lies outside of it.
    """
    if wanted is not None and not principal.sees(wanted):
        raise ProblemError(HTTPStatus.FORBIDDEN, "ns_id is none of yours")
    targeted = {target.ns_id for _, targets in family.targets(document) for target in targets}
    is_open = any(not targets for _, targets in family.targets(document))
    owner = wanted
    if owner is None and principal.tenants is not None and len(principal.tenants) == 1:
        (owner,) = principal.tenants
    elif owner is None and len(targeted) == 1 and not is_open:
        (only,) = targeted
        owner = only if _is_literal(only) and principal.sees(only) else None
    if owner is None:
        if principal.tenants is not None:
            raise _invalid([Mistake(field="query.ns_id", message="is required: whose it shall be")])
        return None
    _require_confined(document, family, owner)
    return owner


def require_allowed(document: BaseModel, family: Family, principal: Principal, owner: str | None) -> None:
    """Refuse what needs more than the family's role.

    Raises
    ------
    ProblemError
        If a document runs scripts without the role admin, or a tenant's reaches into the worker's files.
    """
    if family.kind == SCRIPT and (owner is not None or principal.tenants is not None):
        raise ProblemError(HTTPStatus.FORBIDDEN, "scripts are the platform's: a tenant has none")
    if isinstance(document, Scenario) and principal.role < Role.ADMIN:
        runs = [
            Mistake(field=f"body.{place}.run", message="needs the role admin")
            for place, step in steps_of(document)
            if step.run
        ]
        if runs:
            raise ProblemError(HTTPStatus.FORBIDDEN, "to run scripts needs the role admin", runs)
    if isinstance(document, GivenChannel) and owner is not None:
        # a file of the worker's may hold another tenant's secret, which would be sent to this one's server
        files = [
            Mistake(field=f"body.{place}.file", message="is the platform's: give the value")
            for place in files_of(document)
        ]
        if files:
            raise _invalid(files)


def _require_confined(document: BaseModel, family: Family, owner: str) -> None:
    mistakes = []
    for place, targets in family.targets(document):
        if not targets:
            mistakes.append(Mistake(field=f"body.{place}", message=f"must name targets, each with ns_id {owner}"))
        for number, target in enumerate(targets):
            if target.ns_id != owner:
                mistakes.append(Mistake(field=f"body.{place}.{number}.ns_id", message=f"must be {owner}"))
    if mistakes or not _is_literal(owner):
        raise _invalid(mistakes or [Mistake(field="query.ns_id", message="must be an ns_id, not a glob")])


def _is_literal(ns_id: str) -> bool:
    return not any(character in ns_id for character in "*?[]")


def _invalid(mistakes: list[Mistake]) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", mistakes)


def unmet(links: list[Link]) -> ProblemError:
    """Return what is answered when a document names others that are not there for it."""
    return _invalid(
        [Mistake(field=f"body.{link.field}", message=f"there is no {link.kind} of this id") for link in links]
    )
