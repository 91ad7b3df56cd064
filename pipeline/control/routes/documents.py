"""Routes of one family of documents: list, read, create, replace, delete."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, create_model

from pipeline.control.auth.access import Admin, Operator, Viewer
from pipeline.control.auth.principal import Principal, Role
from pipeline.control.auth.tenancy import owner_of, require_allowed, unmet
from pipeline.control.channel_secrets import GivenChannel, KeptSecretError, given_mistake, seal_secrets, without_secrets
from pipeline.control.documents import (
    ChangedError,
    Documents,
    DraftDocument,
    MissingError,
    Stored,
    TakenError,
    UsedError,
)
from pipeline.control.families import CHANNEL, Family
from pipeline.control.routes.answers import IfMatch, etag, problems, required_revision
from pipeline.control.routes.paging import CursorQuery, LimitQuery, NsIdQuery, Page, cursor_of, cursor_values
from pipeline.control.routes.problems import Mistake, ProblemError
from pipeline.runtime.kafka.policy_table import LARGEST_POLICY_BYTES
from pipeline.runtime.secrets.sealing import SecretBox

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

IdPath = Annotated[str, Path(pattern=ID_PATTERN, description="Its id.")]
OwnerQuery = Annotated[
    str | None, Query(pattern=ID_PATTERN, description="Whose it shall be; none: as its targets say, or yours.")
]
PrefixQuery = Annotated[
    str, Query(pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Only those whose ids begin so.", examples=["cpu-"])
]


class Envelope(BaseModel):
    """What is known of a document beside itself."""

    id: str = Field(description="Its id.")
    ns_id: str | None = Field(description="The namespace that it belongs to; null: the platform.")
    revision: int = Field(description="Greater with each change; in quotes it is the ETag.")
    updated_ms: int = Field(description="When it was changed: milliseconds since 1970-01-01T00:00:00Z.")
    updated_by: str = Field(description="Who did.")


def document_router(family: Family, documents: Documents, box: SecretBox) -> APIRouter:
    """Return the routes of a family.

    Parameters
    ----------
    family
        Which.
    documents
        Where they are.
    box
        What seals the secrets in them.
    """
    router = APIRouter(prefix=f"/v1/{family.path}", tags=[family.title])
    model = family.model
    name = model.__name__.removeprefix("Given")
    shown: Any = create_model(
        f"Stored{name}",
        __base__=Envelope,
        __doc__=f"A {family.kind} and what is known of it.",
        document=(model, Field(description="As it is.")),
    )
    page: Any = create_model(
        f"{name}Page",
        __base__=Page,
        __doc__=f"{family.title}, by their ids.",
        items=(list[shown], Field(description="At most as many as were asked for.")),
    )
    Editor: Any = Admin if family.role is Role.ADMIN else Operator  # noqa: N806  a type
    Given: Any = Annotated[model, Body(openapi_examples={"usual": {"value": family.example}})]  # noqa: N806
    edits = _Edits(family, documents, box)

    @router.get("", summary="List them", response_model=page, responses=problems())
    def list_documents(
        principal: Viewer,
        limit: LimitQuery = 100,
        cursor: CursorQuery = None,
        ns_id: NsIdQuery = None,
        starts_with: PrefixQuery = "",
    ) -> Response:
        (after,) = cursor_values(cursor, str) or ("",)
        found = documents.page(
            family.kind, principal.tenants, ns_id=ns_id, prefix=starts_with, after=after, limit=limit + 1
        )
        following = cursor_of(found[limit - 1].id) if len(found) > limit else None
        items = [_shown(each) for each in found[:limit]]
        return JSONResponse({"items": items, "next_cursor": following})

    @router.get("/{document_id}", summary="Read one", response_model=shown, responses=problems(404))
    def read_document(principal: Viewer, document_id: IdPath) -> Response:
        return _answer(edits.found(document_id, principal))

    @router.post("", summary="Create one", status_code=201, response_model=shown, responses=problems(400, 409, 413))
    def create_document(principal: Editor, document: Given, ns_id: OwnerQuery = None) -> Response:
        stored = edits.create(document, principal, ns_id)
        return _answer(stored, HTTPStatus.CREATED, {"Location": f"/v1/{family.path}/{stored.id}"})

    @router.put(
        "/{document_id}", summary="Replace one", response_model=shown, responses=problems(400, 404, 409, 412, 413, 428)
    )
    def replace_document(principal: Editor, document_id: IdPath, document: Given, if_match: IfMatch = None) -> Response:
        return _answer(edits.replace(document_id, document, principal, required_revision(if_match)))

    @router.delete("/{document_id}", summary="Delete one", status_code=204, responses=problems(404, 409, 412, 428))
    def delete_document(principal: Editor, document_id: IdPath, if_match: IfMatch = None) -> Response:
        edits.delete(document_id, principal, required_revision(if_match))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


class _Edits:
    """Reads and changes documents of a family for somebody; what is not allowed ends in a problem."""

    def __init__(self, family: Family, documents: Documents, box: SecretBox) -> None:
        self._family = family
        self._documents = documents
        self._box = box

    def found(self, name: str, principal: Principal) -> Stored:
        try:
            return self._documents.get(self._family.kind, name, principal.tenants)
        except MissingError as error:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no {self._family.kind} of this id") from error

    def create(self, document: BaseModel, principal: Principal, ns_id: str | None) -> Stored:
        draft = self._draft(document, principal, ns_id, None)
        try:
            return self._documents.create(draft, principal.name)
        except TakenError as error:
            raise ProblemError(HTTPStatus.CONFLICT, f"there is a {draft.kind} of this id") from error
        except MissingError as error:
            raise unmet(self._documents.missing_links(draft)) from error

    def replace(self, name: str, document: BaseModel, principal: Principal, revision: int | None) -> Stored:
        before = self.found(name, principal)
        if document.id != name:  # type: ignore[attr-defined]  # all families' models have one
            wrong = Mistake(field="body.id", message="must be the id of the path")
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", [wrong])
        is_kept = principal.tenants is not None or not self._family.targets(document)
        draft = self._draft(document, principal, before.owner if is_kept else None, before)
        try:
            return self._documents.replace(draft, principal.name, tenants=principal.tenants, revision=revision)
        except ChangedError as error:
            raise _changed() from error
        except MissingError as error:
            self.found(name, principal)
            raise unmet(self._documents.missing_links(draft)) from error

    def delete(self, name: str, principal: Principal, revision: int | None) -> None:
        self.found(name, principal)
        try:
            self._documents.delete(self._family.kind, name, tenants=principal.tenants, revision=revision)
        except ChangedError as error:
            raise _changed() from error
        except UsedError as error:
            raise ProblemError(HTTPStatus.CONFLICT, "policies or scenarios name it: edit those first") from error
        except MissingError as error:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no {self._family.kind} of this id") from error

    def _draft(
        self, document: BaseModel, principal: Principal, ns_id: str | None, before: Stored | None
    ) -> DraftDocument:
        family = self._family
        owner = owner_of(document, family, principal, ns_id)
        require_allowed(document, family, principal, owner)
        if isinstance(document, GivenChannel):
            if (why := given_mistake(document)) is not None:
                wrong = Mistake(field=f"body.{document.type}", message=why)
                raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", [wrong])
            try:
                content = seal_secrets(document, None if before is None else before.document, self._box)
            except KeptSecretError as error:
                wrong = Mistake(field=f"body.{error.field}", message=error.why)
                raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", [wrong]) from error
        else:
            content = document.model_dump(mode="json", exclude_unset=True)
        content = {"kind": family.kind, **content}
        size = len(json.dumps(content))
        if size > LARGEST_POLICY_BYTES:
            wrong = Mistake(field="body", message=f"comes to {size} bytes, at most {LARGEST_POLICY_BYTES} are allowed")
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "the request is not valid", [wrong])
        links = tuple(family.links(document))
        return DraftDocument(family.kind, content["id"], owner, content, links)


def _changed() -> ProblemError:
    return ProblemError(HTTPStatus.PRECONDITION_FAILED, "it has changed: get it again")


def _shown(stored: Stored) -> dict[str, Any]:
    return {
        "id": stored.id,
        "ns_id": stored.owner,
        "revision": stored.revision,
        "updated_ms": stored.updated_ms,
        "updated_by": stored.updated_by,
        "document": without_secrets(stored.document) if stored.kind == CHANNEL else stored.document,
    }


def _answer(stored: Stored, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(_shown(stored), status, {"ETag": etag(stored.revision), **(headers or {})})
