"""A tenant sees and edits what is of its own ns_ids, and nothing else, on SQLite and PostgreSQL."""

from typing import Any

import pytest

from pipeline.control.auth.principal import Role
from tests.support.control.api import Api, fields, policy

ANY = {"If-Match": "*"}
HOOK = {"id": "hook", "webhook": {"url": {"value": "https://example.org/hook"}}}


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("policies", policy("theirs", "a")),
        ("detection-rules", {"id": "theirs", "title": "t", "targets": [{"ns_id": "a"}]}),
        (
            "silences",
            {
                "id": "theirs",
                "alerts": {"targets": [{"ns_id": "a"}]},
                "starts": "2026-12-01T02:00:00Z",
                "ends": "2026-12-01T04:00:00Z",
            },
        ),
    ],
)
def test_what_is_anothers_is_not_there(api: Api, path: str, document: dict[str, Any]) -> None:
    made = api.as_(Role.ADMIN, "a").post(f"/v1/{path}", json=document)
    assert (made.status_code, made.json()["ns_id"]) == (201, "a")
    other = api.as_(Role.ADMIN, "b")

    assert other.get(f"/v1/{path}").json()["items"] == []
    assert other.get(f"/v1/{path}", params={"ns_id": "a"}).json()["items"] == []
    assert other.get(f"/v1/{path}/theirs").status_code == 404
    assert other.put(f"/v1/{path}/theirs", json=document, headers=ANY).status_code == 404
    assert other.delete(f"/v1/{path}/theirs", headers=ANY).status_code == 404
    assert api.as_(Role.VIEWER, "a").get(f"/v1/{path}/theirs").json() == made.json()
    assert api.as_(Role.VIEWER).get(f"/v1/{path}/theirs").json() == made.json()
    assert len(api.outbox()) == 1


def test_what_is_the_platforms_is_not_a_tenants(api: Api) -> None:
    api.as_(Role.ADMIN).post("/v1/policies", json=policy("everybody"))
    api.as_(Role.ADMIN).post("/v1/policies", json=policy("both", "a", "b"))
    tenant = api.as_(Role.ADMIN, "a")

    assert tenant.get("/v1/policies").json()["items"] == []
    assert tenant.get("/v1/policies/everybody").status_code == 404
    assert tenant.delete("/v1/policies/both", headers=ANY).status_code == 404


@pytest.mark.parametrize(
    ("targets", "named"),
    [
        ([], ["body.targets"]),
        ([{"ns_id": "b"}], ["body.targets.0.ns_id"]),
        ([{"ns_id": "a"}, {"ns_id": "b"}], ["body.targets.1.ns_id"]),
        ([{"ns_id": "*"}], ["body.targets.0.ns_id"]),
        ([{"ns_id": "[a]"}], ["body.targets.0.ns_id"]),
        ([{"infra_id": "x"}], ["body.targets.0.ns_id"]),
    ],
)
def test_a_tenants_document_reaches_nobody_else(
    sqlite_api: Api, targets: list[dict[str, str]], named: list[str]
) -> None:
    tenant = sqlite_api.as_(Role.ADMIN, "a")
    tenant.post("/v1/policies", json=policy("own", "a"))

    made = tenant.post("/v1/policies", json=policy("new") | {"targets": targets})
    edited = tenant.put("/v1/policies/own", json=policy("own") | {"targets": targets}, headers=ANY)

    assert (made.status_code, edited.status_code) == (422, 422)
    assert fields(made) == named
    assert fields(edited) == named
    assert len(sqlite_api.outbox()) == 1


def test_both_sides_of_an_inhibition_are_confined(sqlite_api: Api) -> None:
    own, any_ = {"policies": ["x"], "targets": [{"ns_id": "a"}]}, {"policies": ["*"]}

    answer = sqlite_api.as_(Role.OPERATOR, "a").post(
        "/v1/inhibitions", json={"id": "i", "source": own, "targets": any_}
    )

    assert fields(answer) == ["body.targets.targets"]


def test_somebody_with_several_namespaces_says_or_shows_which(api: Api) -> None:
    both = api.as_(Role.ADMIN, "a", "b")

    assert fields(both.post("/v1/channels", json=HOOK)) == ["query.ns_id"]
    assert both.post("/v1/channels", json=HOOK, params={"ns_id": "c"}).status_code == 403
    assert both.post("/v1/channels", json=HOOK, params={"ns_id": "b"}).json()["ns_id"] == "b"
    assert both.post("/v1/policies", json=policy("cpu", "a")).json()["ns_id"] == "a"
    assert both.post("/v1/policies", json=policy("mem", "a", "b")).status_code == 422


def test_a_tenants_policy_tells_its_own_and_the_platforms_channels_alone(api: Api) -> None:
    api.as_(Role.ADMIN, "b").post("/v1/channels", json=HOOK | {"id": "of-b"})
    api.as_(Role.ADMIN).post("/v1/channels", json=HOOK | {"id": "shared"})
    tenant = api.as_(Role.ADMIN, "a")
    tenant.post("/v1/channels", json=HOOK | {"id": "own"})

    assert fields(tenant.post("/v1/policies", json=policy("x", "a", channels=["own", "of-b"]))) == ["body.channels.1"]
    assert tenant.post("/v1/policies", json=policy("x", "a", channels=["own", "shared"])).status_code == 201
    assert tenant.get("/v1/channels/shared").status_code == 404


def test_an_edit_by_the_platform_leaves_a_scenario_its_tenants(api: Api) -> None:
    tenant = api.as_(Role.ADMIN, "a")
    tenant.post("/v1/channels", json=HOOK)
    scenario = {"id": "ops", "levels": {"warn": [{"notify": "hook"}]}}
    tenant.post("/v1/scenarios", json=scenario)

    api.as_(Role.ADMIN).put("/v1/scenarios/ops", json=scenario | {"title": "seen"}, headers=ANY)

    assert tenant.get("/v1/scenarios/ops").json()["ns_id"] == "a"


def test_a_tenant_gets_nothing_out_of_the_workers_files(sqlite_api: Api) -> None:
    tenant = sqlite_api.as_(Role.ADMIN, "a")

    taken = tenant.post("/v1/channels", json={"id": "x", "webhook": {"url": {"file": "secret-of-b"}}})
    script = tenant.post("/v1/scripts", json={"id": "x", "file": "x.sh"})

    assert fields(taken) == ["body.webhook.url.file"]
    assert script.status_code == 403
    assert sqlite_api.outbox() == []


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, []),
        (Role.OPERATOR, ["policies", "scenarios"]),
        (Role.ADMIN, ["policies", "scenarios", "channels"]),
    ],
)
def test_each_role_edits_what_it_may(sqlite_api: Api, role: Role, allowed: list[str]) -> None:
    sqlite_api.as_(Role.ADMIN).post("/v1/channels", json=HOOK)
    bodies: dict[str, Any] = {
        "policies": policy("x"),
        "scenarios": {"id": "x", "levels": {"warn": [{"notify": "hook"}]}},
        "channels": HOOK | {"id": "x"},
    }
    somebody = sqlite_api.as_(role)

    made = [path for path, body in bodies.items() if somebody.post(f"/v1/{path}", json=body).status_code == 201]
    refused = [path for path, body in bodies.items() if somebody.post(f"/v1/{path}", json=body).status_code == 403]

    assert made == allowed
    assert refused == [path for path in bodies if path not in allowed]


def test_to_run_a_script_needs_the_role_admin(sqlite_api: Api) -> None:
    admin = sqlite_api.as_(Role.ADMIN)
    admin.post("/v1/scripts", json={"id": "restart", "file": "restart.sh"})
    scenario = {"id": "x", "levels": {"critical": [{"run": "restart"}]}}

    refused = sqlite_api.as_(Role.OPERATOR).post("/v1/scenarios", json=scenario)

    assert refused.status_code == 403
    assert fields(refused) == ["body.levels.critical.0.run"]
    assert admin.post("/v1/scenarios", json=scenario).status_code == 201
