"""Runs scripts as Jobs of Kubernetes: out of an image that holds them, as nobody, with limits; one Job for one key."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from pipeline.channels.scripts import LONGEST_OUTPUT_BYTES, ScriptCancelled, ScriptRefused, ScriptResult

__all__ = ["JobTemplate", "KubernetesApi", "ScriptJobs"]

IN_CLUSTER: Final = "https://kubernetes.default.svc"
CREDENTIALS: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NOBODY: Final = 65534
NAME_CHARACTERS: Final = 40
ANSWER_TIMEOUT_S: Final = 10.0
START_S: Final = 20.0
"""Beyond a script's time, for the image and a node."""
LOOK_EVERY_S: Final = 1.0
LAST_LINES: Final = 200


@dataclass(frozen=True, slots=True)
class JobTemplate:
    """What all Jobs have in common.

    Parameters
    ----------
    namespace
        Where they are made.
    image, folder
        What holds the scripts, and where.
    service_account
        Whom scripts act as; the account ``default`` gets no token.
    cpu, memory
        What a script may use.
    keep_s
        How long a Job stays after its end.
    """

    namespace: str
    image: str
    folder: Path
    service_account: str
    cpu: str
    memory: str
    keep_s: float

    def job(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> dict[str, Any]:
        """Return the Job that runs a script once.

        Arguments and values arrive as they are: what Kubernetes would put in for ``$(NAME)`` is escaped.
        """
        key = environment["CINNAMON_KEY"]
        container = {
            "name": "script",
            "image": self.image,
            "command": [str(self.folder / name)],
            "args": [_escaped(argument) for argument in arguments],
            "env": [{"name": variable, "value": _escaped(value)} for variable, value in environment.items()],
            "resources": {
                "requests": {"cpu": self.cpu, "memory": self.memory},
                "limits": {"cpu": self.cpu, "memory": self.memory},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        labels = {"app.kubernetes.io/name": "cinnamon-script", "app.kubernetes.io/managed-by": "cinnamon"}
        pod = {
            "restartPolicy": "Never",
            "serviceAccountName": self.service_account,
            "automountServiceAccountToken": self.service_account != "default",
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": job_name(key),
                "namespace": self.namespace,
                "labels": labels,
                "annotations": {"cinnamon/key": key, "cinnamon/script": name},
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": math.ceil(timeout_s + START_S),
                "ttlSecondsAfterFinished": math.ceil(self.keep_s),
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """Where the API server is, and who asks it.

    Parameters
    ----------
    url
        Its address.
    credentials
        The folder of the service account: ``token``, read each time, and ``ca.crt``.
    """

    url: str = IN_CLUSTER
    credentials: Path = CREDENTIALS

    def ask(self, method: str, path: str, body: Any = None, **query: str | int) -> requests.Response:
        """Return the server's answer.

        Raises
        ------
        ScriptRefused
            When it is not reached, or the credentials cannot be read.
        """
        try:
            token = (self.credentials / "token").read_text().strip()
            ca_file = self.credentials / "ca.crt"
            return requests.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers={"Authorization": f"Bearer {token}"},
                timeout=ANSWER_TIMEOUT_S,
                verify=str(ca_file) if ca_file.exists() else True,
                allow_redirects=False,
            )
        except OSError as error:  # requests' errors are of this class, too
            raise ScriptRefused(f"the API server of Kubernetes cannot be asked ({type(error).__name__})") from None


class ScriptJobs:
    """Runs scripts as Jobs. The Job of a key that is there already is waited for, and not made again.

    Parameters
    ----------
    template
        What they have in common.
    api
        The API server.
    """

    def __init__(self, template: JobTemplate, api: KubernetesApi) -> None:
        self._template = template
        self._api = api

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        timeout_s: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> ScriptResult:
        """Run a script to its end, at most for its time.

        It blocks: call it in a thread.

        Raises
        ------
        ScriptRefused
            When Kubernetes does not take the Job, or does not answer.
        ScriptCancelled
            When `is_cancelled` said so before it ended: the Job goes on, and the next call waits for it.
        """
        jobs = f"/apis/batch/v1/namespaces/{self._template.namespace}/jobs"
        job = self._template.job(name, arguments, environment, timeout_s)
        answer = self._api.ask("POST", jobs, job)
        if answer.status_code not in {200, 201, 202, 409}:
            raise ScriptRefused(f"Kubernetes did not take the Job: {answer.status_code}")
        job_id = job["metadata"]["name"]
        deadline_s = time.monotonic() + timeout_s + START_S
        while not (condition := self._end_of(f"{jobs}/{job_id}")):
            if is_cancelled():
                raise ScriptCancelled("the worker ends; the Job goes on")
            if time.monotonic() > deadline_s:
                return ScriptResult(None, "")
            time.sleep(LOOK_EVERY_S)
        status, output = self._what_it_did(job_id)
        if condition == "Complete":
            return ScriptResult(0, output)
        return ScriptResult(None if condition == "DeadlineExceeded" else status or 1, output)

    def _end_of(self, path: str) -> str:
        """Return how a Job ended: Complete, DeadlineExceeded or another reason; empty while it has not."""
        answer = self._api.ask("GET", path)
        if answer.status_code != 200:
            raise ScriptRefused(f"Kubernetes does not say how the Job is: {answer.status_code}")
        for condition in answer.json().get("status", {}).get("conditions") or ():
            if condition["status"] == "True" and condition["type"] in {"Complete", "Failed"}:
                return "Complete" if condition["type"] == "Complete" else str(condition.get("reason") or "Failed")
        return ""

    def _what_it_did(self, job_id: str) -> tuple[int | None, str]:
        """Return the exit status and the end of the output, as far as they are to be had."""
        pods = f"/api/v1/namespaces/{self._template.namespace}/pods"
        answer = self._api.ask("GET", pods, labelSelector=f"job-name={job_id}")
        items = answer.json().get("items") if answer.status_code == 200 else None
        if not items:
            return None, ""
        states = items[0].get("status", {}).get("containerStatuses") or [{}]
        ended = states[0].get("state", {}).get("terminated") or {}
        pod = items[0]["metadata"]["name"]
        log = self._api.ask("GET", f"{pods}/{pod}/log", tailLines=LAST_LINES)
        output = log.content[-LONGEST_OUTPUT_BYTES:].decode(errors="replace") if log.status_code == 200 else ""
        return ended.get("exitCode"), output


def job_name(key: str) -> str:
    """Return the name of the Job of a key."""
    return f"cinnamon-{key[:NAME_CHARACTERS]}"


def _escaped(value: str) -> str:
    return value.replace("$", "$$")
