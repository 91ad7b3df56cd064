"""Documents through the API, on SQLite and PostgreSQL: pages, edits, entity tags, links, and what is published."""

import json
from typing import Any

import pytest

from pipeline.control.auth.principal import Role
from pipeline.control.families import FAMILIES, Family
from tests.support.control.api import Api, fields, policy

pytestmark = pytest.mark.timeout(60)


def test_a_document_is_created_read_replaced_and_deleted(api: Api) -> None:
    admin = api.as_(Role.ADMIN)

    made = admin.post("/v1/policies", json=policy("cpu", "prod"))
    assert (made.status_code, made.headers["location"]) == (201, "/v1/policies/cpu")
    assert admin.get("/v1/policies/cpu").json() == made.json()
    assert made.json()["document"] == {"kind": "trigger", **policy("cpu", "prod")}
    assert (made.json()["ns_id"], made.json()["updated_by"]) == ("prod", "key:admin-all")

    tag = {"If-Match": made.headers["etag"]}
    replaced = admin.put("/v1/policies/cpu", json=policy("cpu", "prod", title="CPU"), headers=tag)
    assert replaced.status_code == 200
    assert admin.get("/v1/policies/cpu").json()["document"]["title"] == "CPU"
    assert admin.put("/v1/policies/cpu", json=policy("cpu", "prod"), headers=tag).status_code == 412
    assert admin.delete("/v1/policies/cpu", headers=tag).status_code == 412
    assert admin.delete("/v1/policies/cpu", headers={"If-Match": replaced.headers["etag"]}).status_code == 204
    assert admin.get("/v1/policies/cpu").status_code == 404

    keys = [key for key, _ in api.outbox()]
    values = [None if value is None else json.loads(value) for _, value in api.outbox()]
    assert keys == ["trigger/cpu"] * 3
    assert values == [made.json()["document"], replaced.json()["document"], None]


def test_an_edit_without_a_revision_is_refused_and_a_star_is_any(sqlite_api: Api) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    admin.post("/v1/policies", json=policy("cpu"))

    assert admin.put("/v1/policies/cpu", json=policy("cpu")).status_code == 428
    assert admin.delete("/v1/policies/cpu").status_code == 428
    assert admin.put("/v1/policies/cpu", json=policy("cpu"), headers={"If-Match": "W/nonsense"}).status_code == 412
    assert admin.put("/v1/policies/cpu", json=policy("cpu"), headers={"If-Match": "*"}).status_code == 200


def test_a_document_made_anew_does_not_have_the_tag_of_the_old_one(api: Api) -> None:
    admin = api.as_(Role.ADMIN)
    old = admin.post("/v1/policies", json=policy("cpu")).headers["etag"]
    admin.delete("/v1/policies/cpu", headers={"If-Match": old})
    admin.post("/v1/policies", json=policy("cpu"))

    assert admin.delete("/v1/policies/cpu", headers={"If-Match": old}).status_code == 412


def test_an_id_can_be_taken_once(api: Api) -> None:
    admin = api.as_(Role.ADMIN)
    admin.post("/v1/policies", json=policy("cpu"))

    assert admin.post("/v1/policies", json=policy("cpu")).status_code == 409
    assert len(api.outbox()) == 1


def test_lists_come_in_pages_and_are_filtered(api: Api) -> None:
    admin = api.as_(Role.ADMIN)
    for name in ("cpu-a", "cpu-b", "cpu_c", "mem-a", "mem-b"):
        admin.post("/v1/policies", json=policy(name, "prod" if name != "mem-b" else "test"))

    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = admin.get("/v1/policies", params=asked).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == ["cpu-a", "cpu-b", "cpu_c", "mem-a", "mem-b"]

    def ids(**asked: Any) -> list[str]:
        return sorted(item["id"] for item in admin.get("/v1/policies", params=asked).json()["items"])

    assert ids(starts_with="cpu_") == ["cpu_c"]
    assert ids(ns_id="test") == ["mem-b"]
    assert fields(admin.get("/v1/policies", params={"cursor": "bm9uc2Vuc2U"})) == ["query.cursor"]
    assert fields(admin.get("/v1/policies", params={"limit": 0, "starts_with": "%'"})) == [
        "query.limit",
        "query.starts_with",
    ]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_the_example_of_each_family_is_taken(sqlite_api: Api, family: Family) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    example = dict(family.example)
    if family.kind == "scenario":
        admin.post("/v1/channels", json=next(each for each in FAMILIES if each.kind == "channel").example)

    answer = admin.post(f"/v1/{family.path}", json=example)

    assert answer.status_code == 201, answer.text
    assert answer.json()["document"]["kind"] == family.kind
    assert sqlite_api.outbox()[-1][0] == f"{family.kind}/{example['id']}"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"levels": {}}, "body.levels"),
        ({"levels": {"warn": {"fire": 70, "reset": 80}}}, "body.levels.warn.reset"),
        ({"levels": {"warn": {"fire": "70"}}}, "body.levels.warn.fire"),
        ({"levels": {"warn": {"fire": float("nan")}}}, "body.levels.warn.fire"),
        ({"tresholds": 1}, "body.tresholds"),
        ({"targets": [{"ns": "a"}]}, "body.targets.0.ns"),
        ({"id": "a/../b"}, "body.id"),
        ({"scenario": "nowhere"}, "body.scenario"),
        ({"channels": ["nowhere"]}, "body.channels.0"),
    ],
)
def test_a_mistake_names_its_field_and_changes_nothing(sqlite_api: Api, change: dict[str, Any], field: str) -> None:
    body = json.dumps(policy("cpu") | change)

    answer = sqlite_api.as_(Role.ADMIN).post("/v1/policies", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert fields(answer) == [field]
    assert sqlite_api.outbox() == []


def test_what_is_named_cannot_be_deleted(api: Api) -> None:
    admin = api.as_(Role.ADMIN)
    any_version = {"If-Match": "*"}
    channel = {"id": "mail", "webhook": {"url": {"value": "https://example.org/hook"}}}
    scenario = {"id": "ops", "levels": {"warn": [{"notify": "mail"}]}}
    for path, document in (("channels", channel), ("scenarios", scenario), ("policies", policy("cpu", scenario="ops"))):
        assert admin.post(f"/v1/{path}", json=document).status_code == 201

    assert admin.delete("/v1/channels/mail", headers=any_version).status_code == 409
    assert admin.delete("/v1/scenarios/ops", headers=any_version).status_code == 409
    assert admin.put("/v1/policies/cpu", json=policy("cpu"), headers=any_version).status_code == 200
    assert admin.delete("/v1/scenarios/ops", headers=any_version).status_code == 204
    assert admin.delete("/v1/channels/mail", headers=any_version).status_code == 204


def test_a_document_that_no_worker_would_read_is_refused(sqlite_api: Api) -> None:
    script = {"id": "large", "file": "large.sh", "arguments": ["é" * 4000] * 50}

    answer = sqlite_api.as_(Role.ADMIN).post("/v1/scripts", json=script)

    assert answer.status_code == 422
    assert fields(answer) == ["body"]
    assert sqlite_api.outbox() == []


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE documents; --",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "${jndi:ldap://example.org}",
        "<script>alert(1)</script>",
        "%s%n %(x)s {0} \\",
        "null \x00 byte, half \ud83d a character",
    ],
)
def test_text_is_data(api: Api, text: str) -> None:
    admin = api.as_(Role.ADMIN)
    body = json.dumps(policy("cpu", title=text))

    made = admin.post("/v1/policies", content=body, headers={"Content-Type": "application/json"})

    if "\ud83d" in text:
        assert made.status_code in {201, 422}
    else:
        assert made.status_code == 201
        assert admin.get("/v1/policies/cpu").json()["document"]["title"] == text
        assert json.loads(api.outbox()[0][1] or "")["title"] == text
    assert admin.get("/v1/policies").status_code == 200


def test_only_bodies_up_to_the_limit_are_read(sqlite_api: Api) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    large = json.dumps(policy("cpu", title="x" * 600_000)).encode()
    json_type = {"Content-Type": "application/json"}

    def in_pieces() -> Any:
        for start in range(0, len(large), 60_000):
            yield large[start : start + 60_000]

    announced = admin.post("/v1/policies", content=large, headers=json_type)
    assert announced.status_code == 413
    chunked = admin.post("/v1/policies", content=in_pieces(), headers=json_type)
    assert chunked.status_code == 413
    assert chunked.headers["content-type"] == "application/problem+json"
    assert admin.get("/v1/policies").json()["items"] == []


@pytest.mark.parametrize("body", [b"{", b"[" * 50_000, b"\xff\xfe", b"", b"1e999", b'"text"'])
def test_a_body_that_is_no_document_is_refused(sqlite_api: Api, body: bytes) -> None:
    admin = sqlite_api.as_(Role.ADMIN)

    answer = admin.post("/v1/policies", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_get_changes_nothing(sqlite_api: Api) -> None:
    document = sqlite_api.client().get("/openapi.json").json()
    admin = sqlite_api.as_(Role.ADMIN)
    admin.post("/v1/policies", json=policy("cpu"))

    paths = [path.replace("{document_id}", "cpu") for path, methods in document["paths"].items() if "get" in methods]
    assert len(paths) > 20
    for path in paths:
        admin.get(path)

    assert len(sqlite_api.outbox()) == 1
