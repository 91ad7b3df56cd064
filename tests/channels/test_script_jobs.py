"""Scripts as Jobs: the manifest by Kubernetes' published schema, the conversation with a server that speaks its API."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.channels import script_jobs
from pipeline.channels.script_jobs import JobTemplate, KubernetesApi, ScriptJobs
from pipeline.channels.scripts import ScriptCancelled, ScriptRefused, environment_of
from pipeline.stages.act.settings import ActSettings
from tests.support.channels.alerts import alert_event

KEY = "0123456789abcdef0123456789abcdef"
TEMPLATE = JobTemplate("ops", "registry/scripts:1", Path("/scripts"), "default", "500m", "256Mi", 3600.0)
JOBS = "/apis/batch/v1/namespaces/ops/jobs"


def test_the_manifest_is_a_job_as_kubernetes_has_it() -> None:
    job = TEMPLATE.job("restart", ["--host", "$(HOME) $x"], environment_of(alert_event(), KEY), 60.0)

    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert job["metadata"]["name"] == f"cinnamon-{KEY}"
    assert container["command"] == ["/scripts/restart"]
    assert container["args"] == ["--host", "$$(HOME) $$x"]
    assert {"name": "CINNAMON_RESOURCE", "value": "ns/mci/web-1"} in container["env"]
    assert job["spec"]["backoffLimit"] == 0
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]


PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v1/namespaces/ops/(?P<resource>\w+)(?:/(?P<name>[\w-]+))?(?P<part>/\w+)?(?:\?.*)?"
)
DEPLOY = Path(__file__).parents[2] / "deploy" / "k8s" / "script-jobs.yaml"


def permission(method: str, path: str) -> tuple[str, str, str]:
    """Return group, resource and verb of a request, as roles name them."""
    found = PATH.fullmatch(path)
    assert found is not None, path
    verb = {"POST": "create", "GET": "get" if found["name"] else "list"}[method]
    return found["group"] or "", found["resource"] + (found["part"] or ""), verb


class Cluster:
    """Knows Jobs; each ends as it is told, at the second look."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.looks = 0
        self.end: dict[str, Any] | None = {"type": "Complete", "status": "True"}
        self.exit_code = 0
        self.refusal: int | None = None
        self.tokens: set[str] = set()
        self.asked: set[tuple[str, str, str]] = set()

    def make(self, job: dict[str, Any]) -> tuple[int, Any]:
        if self.refusal is not None:
            return self.refusal, {}
        name = job["metadata"]["name"]
        if name in self.jobs:
            return 409, {}
        self.made += 1
        self.jobs[name] = job
        return 201, job

    def tell(self, path: str) -> tuple[int, Any]:
        if path.startswith(f"{JOBS}/"):
            self.looks += 1
            ended = self.end is not None and self.looks > 1
            return 200, {"status": {"conditions": [self.end]} if ended else {}}
        if path.endswith("/log?tailLines=200"):
            return 200, "x" * 10_000 + "the end"
        status = {"containerStatuses": [{"state": {"terminated": {"exitCode": self.exit_code}}}]}
        return 200, {"items": [{"metadata": {"name": "pod-1"}, "status": status}]}


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.answer(*cluster.make(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def do_GET(self) -> None:
            self.answer(*cluster.tell(self.path))

        def answer(self, status: int, body: Any) -> None:
            cluster.tokens.add(self.headers["Authorization"])
            cluster.asked.add(permission(self.command, self.path))
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def jobs(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptJobs]:
    monkeypatch.setattr(script_jobs, "LOOK_EVERY_S", 0.01)
    (tmp_path / "token").write_text("hunter2\n")
    with serving(cluster) as url:
        yield ScriptJobs(TEMPLATE, KubernetesApi(url, tmp_path))


def run(jobs: ScriptJobs, **options: Any) -> tuple[int | None, str]:
    result = jobs.run("restart", [], {"CINNAMON_KEY": KEY}, options.pop("timeout_s", 5.0), **options)
    return result.status, result.output


def test_a_job_is_run_to_its_end(jobs: ScriptJobs, cluster: Cluster) -> None:
    status, output = run(jobs)
    assert (status, output[-7:], len(output)) == (0, "the end", 8192)
    assert cluster.tokens == {"Bearer hunter2"}


def test_the_role_that_is_shipped_allows_what_is_asked_for_and_no_more(jobs: ScriptJobs, cluster: Cluster) -> None:
    run(jobs)
    documents = list(yaml.safe_load_all(DEPLOY.read_text()))
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    namespace, role, binding = documents
    allowed = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == cluster.asked
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {namespace["metadata"]["name"]}
    assert namespace["metadata"]["name"] == ActSettings().job_namespace


@pytest.mark.parametrize(
    ("condition", "exit_code", "status"),
    [
        ({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}, 3, 3),
        ({"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}, 137, None),
    ],
)
def test_a_job_that_fails_says_how(
    jobs: ScriptJobs, cluster: Cluster, condition: dict[str, Any], exit_code: int, status: int | None
) -> None:
    cluster.end, cluster.exit_code = condition, exit_code
    assert run(jobs)[0] == status


def test_the_job_of_a_key_is_made_once_whoever_asks(jobs: ScriptJobs, cluster: Cluster) -> None:
    cluster.end = None
    with pytest.raises(ScriptCancelled, match="the Job goes on"):
        run(jobs, is_cancelled=lambda: cluster.looks > 1)
    cluster.end = {"type": "Complete", "status": "True"}
    assert run(jobs)[0] == 0
    assert cluster.made == 1


def test_a_job_that_kubernetes_does_not_take_is_no_run(jobs: ScriptJobs, cluster: Cluster) -> None:
    cluster.refusal = 403
    with pytest.raises(ScriptRefused, match="did not take the Job: 403"):
        run(jobs)


def test_no_api_server_is_no_run_and_no_secret_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptRefused, match="cannot be asked"):
        run(ScriptJobs(TEMPLATE, KubernetesApi("http://127.0.0.1:9", tmp_path)))
    (tmp_path / "token").write_text("hunter2")
    with pytest.raises(ScriptRefused, match="cannot be asked") as caught:
        run(ScriptJobs(TEMPLATE, KubernetesApi("http://127.0.0.1:9", tmp_path)))
    assert "hunter2" not in repr(caught.value)
