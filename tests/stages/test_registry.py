"""One spec a stage is all that worker, doctor, topics, settings and docs ask: a stage of another package proves it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import topics
from pipeline.factory import Settings
from pipeline.stages.registry import BUILT_IN, stage_names, stage_specs
from tests.support.servers.embedded_broker import EmbeddedBroker
from tests.support.stages.brokers import USED, Raw, pipeline_topics, produce, read_topic
from tests.support.stages.echo_plugin import ECHOES, installed
from tests.support.stages.streams import settings_of
from tests.support.stages.worker import Worker, running
from topics.catalogue import load_topics

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that has the packages of a folder installed."""
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


@pytest.fixture
def with_echo(tmp_path: Path) -> Mapping[str, str]:
    return environment(installed(tmp_path / "site"))


def run(env: Mapping[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, *command)
    return subprocess.run(command, env=dict(env), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def cinnamon(env: Mapping[str, str], *arguments: str) -> str:
    """Return what a command prints; it must end well."""
    done = run(env, "-m", "pipeline", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_stages_are_listed_in_the_order_of_the_data() -> None:
    assert stage_names() == BUILT_IN == tuple(spec.name for spec in stage_specs())


def test_every_topic_of_a_stage_is_in_the_catalogue_or_brought_by_it() -> None:
    known = {topic.name for topic in load_topics()}
    for spec in stage_specs():
        named = {*spec.reads, *spec.writes, *spec.follows}
        assert named <= known | {topic.name for topic in spec.topics}, spec.name


def test_what_a_stage_needs_is_what_it_reads_writes_follows_and_keeps() -> None:
    specs = {spec.name: spec for spec in stage_specs()}

    assert specs["aggregate"].required_topics(Settings()) == {
        topics.METRICS_RAW,
        topics.METRICS_AGG,
        topics.DEAD_LETTERS,
        topics.CHECKPOINTS,
    }
    assert specs["detect"].required_topics(Settings()) == {
        topics.METRICS_AGG,
        topics.ANOMALIES,
        topics.POLICIES,
        topics.DEAD_LETTERS,
        topics.CHECKPOINTS,
        topics.CHECKPOINT_BLOCKS,
    }


def test_the_groups_of_the_sink_are_those_that_the_stores_call_for() -> None:
    (sink,) = (spec for spec in stage_specs() if spec.name == "sink")
    stores = [
        {"name": "eu", "kind": "embedded", "path": "eu.db"},
        {"name": "all", "kind": "embedded", "path": "all.db", "role": "integrated"},
    ]

    assert [*sink.groups_in(Settings())] == []
    assert [*sink.groups_in(Settings(stores=stores))] == [
        ("sink-eu", topics.METRICS_AGG),
        ("sink-all-downsampled", topics.METRICS_DOWNSAMPLED),
        ("sink-all-anomalies", topics.ANOMALIES),
        ("sink-all-alerts", topics.ALERTS),
    ]
    assert sink.groups[0] == ("sink-STORE", topics.METRICS_AGG)


def test_the_registry_is_cheap_to_import() -> None:
    program = "import sys, pipeline.factory; print(*sorted({'faust', 'numba', 'numpy', 'aiokafka'} & set(sys.modules)))"

    assert run(os.environ, "-c", program).stdout == "\n"


def test_a_stage_of_another_package_is_in_settings_topics_help_and_docs(
    tmp_path: Path, with_echo: Mapping[str, str]
) -> None:
    file = tmp_path / "cinnamon.yaml"
    file.write_text("echo: {prefix: 'again '}")

    in_force = yaml.safe_load(cinnamon(with_echo, "config", "check", "--config", str(file)))
    assert in_force["echo"] == {"prefix": "again "}
    assert in_force["worker"]["stages"] == [*BUILT_IN, "echo"]
    assert ECHOES in {topic["name"] for topic in json.loads(cinnamon(with_echo, "topics", "list", "--json"))}
    assert "sink, echo;" in " ".join(cinnamon(with_echo, "worker", "--help").split())
    page = run(with_echo, "-c", "from tools.reference.components import stages_page; print(stages_page())").stdout
    assert "| `echo` | Echoes windows. | `metrics.agg` | `echoes` |" in page

    file.write_text("echo: {prefixx: 'again '}")
    done = run(with_echo, "-m", "pipeline", "config", "check", "--config", str(file))
    assert done.stderr == f"{file}: echo.prefixx: unknown key; did you mean prefix?\n"


@pytest.mark.server
def test_a_stage_of_another_package_runs_in_a_worker_and_doctor_shows_its_lag(
    tmp_path: Path, with_echo: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", with_echo["PYTHONPATH"])
    broker = EmbeddedBroker(tmp_path / "broker").start()
    try:
        with pipeline_topics(broker, partitions=1, names=USED):
            bootstrap = ("--bootstrap", broker.bootstrap_servers)
            missing = run(with_echo, "-m", "pipeline", "worker", "--stages", "echo", *bootstrap)
            assert missing.stderr == "missing topics: echoes; `cinnamon topics apply` makes them\n"
            applied = cinnamon(with_echo, "topics", "apply", "--partitions", "1", *bootstrap)
            assert "created echoes with 1 partitions" in applied.splitlines()
            produce(broker, [Raw(b"a window"), Raw(b"another")], topics.METRICS_AGG)

            with running(Worker(tmp_path / "worker", settings_of(broker), stages="echo")) as worker:
                worker.wait_for(lambda scrape: scrape.total("echoed_records_total") == 2, "both records echoed")

            assert [record.value for record in read_topic(broker, ECHOES)] == [b"echo of a window", b"echo of another"]
            doctor = run(with_echo, "-m", "pipeline", "doctor", "--json", *bootstrap)
            found = {line["check"]: line for line in map(json.loads, doctor.stdout.splitlines())}
    finally:
        broker.stop()

    assert "topic echoes" not in found  # it is there, and as the plug-in wants it
    assert found["group cinnamon-echo"]["status"] == "ok"
    assert found["group cinnamon-echo"]["detail"].endswith("records of metrics.agg are not finished")


@pytest.mark.parametrize(
    ("entry_points", "mistake"),
    [
        ("sink = cinnamon_echo:SPEC", "entry points cinnamon.stages: there is more than one stage named sink"),
        (
            "other = cinnamon_echo:SPEC",
            "entry point other = cinnamon_echo:SPEC of cinnamon.stages: must be a StageSpec named other",
        ),
        (
            "echo = cinnamon_echo:GONE",
            (
                "entry point echo = cinnamon_echo:GONE of cinnamon.stages: cannot be imported: "
                "module 'cinnamon_echo' has no attribute 'GONE'"
            ),
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_said_to_be_so(entry_points: str, mistake: str, tmp_path: Path) -> None:
    site = installed(tmp_path / "site")
    (site / "cinnamon_echo-1.0.dist-info" / "entry_points.txt").write_text(f"[cinnamon.stages]\n{entry_points}\n")

    done = run(environment(site), "-m", "pipeline", "config", "check")

    assert (done.returncode, done.stderr) == (1, f"{mistake}\n")
