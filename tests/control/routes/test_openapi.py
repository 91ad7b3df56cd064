"""The API against its own OpenAPI document: requests that fit it and requests that do not, by schemathesis."""

import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pipeline.control.auth.principal import Role
from pipeline.control.families import FAMILIES
from tests.support.control.api import Api
from tests.support.control.history import FIRING, action, event, feed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports of others
    import schemathesis

EXAMPLES = 4
"""An operation and mode: enough to have found every fault that hundreds found."""
SECRET = "hunter-2-and-longer"  # noqa: S105
schemathesis.checks.load_all_checks()
CHECKS = schemathesis.checks.CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
QUIET = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def filled(sqlite_api: Api) -> Api:
    """An API with something of everything in it."""
    admin = sqlite_api.as_(Role.ADMIN)
    admin.post("/v1/channels", json={"id": "there", "webhook": {"url": {"value": f"https://example.org/{SECRET}"}}})
    for family in FAMILIES:
        if family.kind != "channel":
            document = family.example | {"id": "there"}
            if family.kind == "scenario":
                document["levels"] = {"warn": [{"notify": "there"}]}
            assert admin.post(f"/v1/{family.path}", json=document).status_code == 201
    feed(sqlite_api, event("there", 1, FIRING), action("there", 0, outcome="awaiting_approval", reason="APPROVAL"))
    return sqlite_api


def aimed(case: Any) -> Any:
    """Return a case that is about what is there: ids of chance never are."""
    case.path_parameters = dict.fromkeys(case.path_parameters or {}, "there")
    if case.method in {"PUT", "DELETE"}:
        case.headers = {**(case.headers or {}), "If-Match": "*"}
    if case.method == "PUT" and isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = "there"
    return case


def test_the_document_is_complete(sqlite_api: Api) -> None:
    document = sqlite_api.client().get("/openapi.json").json()
    operations = [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]

    assert len(operations) > 50
    for name, operation in operations:
        assert operation["summary"], name
        if name.split()[1] not in {"/healthz", "/readyz", "/metrics"}:
            assert {"401", "403", "422"} <= operation["responses"].keys(), name
            assert operation["security"], name
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            model = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            assert body.get("examples") or model.get("examples"), name
    assert all(model.get("description") for model in document["components"]["schemas"].values())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_answers_are_as_the_document_has_them(filled: Api, mode: str) -> None:
    schema = schemathesis.openapi.from_url(f"{filled.url}/openapi.json").include(path_regex="^/v1/")
    key = filled.keys.create(name="schemathesis", role=Role.ADMIN, tenants=None)
    headers = {"Authorization": f"Bearer {key}"}
    answers: Counter[tuple[str, int]] = Counter()

    def ask(case: Any) -> None:
        answer = (aimed(case) if mode == "positive" else case).call_and_validate(headers=headers, checks=CHECKS)
        assert SECRET not in answer.text
        answers[case.method, answer.status_code] += 1

    for found in schema.get_all_operations():
        cases = found.ok().as_strategy(generation_mode=schemathesis.GenerationMode(mode))
        QUIET(given(case=cases)(ask))()

    assert answers.total() > 150
    if mode == "positive":
        assert {("GET", 200), ("POST", 201), ("PUT", 200), ("DELETE", 204)} <= answers.keys()
