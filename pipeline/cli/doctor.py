"""``cinnamon doctor``: can everything be reached, is it as it should be, and who sends carelessly."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.loading import BootstrapOption, ConfigOption, settings_or_exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.runtime.kafka.topic_reader import TopicReader
    from pipeline.settings.model import Settings
    from topics.plan import TopicState

__all__ = ["register"]

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"
_NAMED_AGENTS: Final = 20


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check came to."""

    check: str
    status: str
    detail: str


def doctor(
    config: ConfigOption = None,
    bootstrap: BootstrapOption = None,
    recent: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Records of metrics.raw, a partition, that show how agents send.")
    ] = 10_000,
    timeout_s: Annotated[float, typer.Option(min=0.1, max=600, help="How long one question may take.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding.")] = False,
) -> None:
    """Check Kafka, the topics, the stores and the lag of every stage, and name the agents that send without a key.

    Nothing is changed. Exit status: 0 when nothing fails (warnings are allowed), 1 when something does.
    """
    settings = settings_or_exit(config, bootstrap)
    failed = False
    for finding in _findings(settings, recent, timeout_s):
        failed = failed or finding.status == FAIL
        if as_json:
            line = {"check": finding.check, "status": finding.status, "detail": finding.detail}
            typer.echo(json.dumps(line, ensure_ascii=False))
        else:
            typer.echo(f"{finding.status:<4}  {finding.check}: {finding.detail}")
    raise typer.Exit(1 if failed else 0)


def register(root: typer.Typer) -> None:
    """Add ``doctor`` to the program's commands."""
    root.command()(doctor)


def _findings(settings: "Settings", recent: int, timeout_s: float) -> Iterator[CheckResult]:
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.runtime.kafka.topic_reader import TopicReader, TopicReadError
    from pipeline.settings.base import SettingsError
    from pipeline.stages.registry import known_topics
    from topics.admin import BrokerError, TopicAdmin
    from topics.plan import wanted_topics

    yield from _stores(settings)
    try:
        kafka = settings[KafkaSettings]
        with TopicReader(kafka, timeout_s) as reader:
            wanted = wanted_topics(known_topics(), partitions=None, replication=None)
            found = TopicAdmin(kafka.librdkafka(), timeout_s=timeout_s).read([topic.name for topic in wanted])
            yield CheckResult("kafka", OK, f"{kafka.bootstrap_servers} answers")
            yield from _topics(wanted, found)
            yield from _lag(settings, found, reader, timeout_s)
            yield from _careless_agents(reader, recent)
    except (BrokerError, SettingsError, TopicReadError) as error:
        yield CheckResult("kafka", FAIL, str(error))


def _stores(settings: "Settings") -> Iterator[CheckResult]:
    from pipeline.settings.base import SettingsError
    from pipeline.stores.base import StoreUnavailable
    from pipeline.stores.factory import kind_of
    from pipeline.stores.settings import StoreSettings

    stores = settings.listed(StoreSettings)
    if not stores:
        yield CheckResult("stores", WARN, "none in the settings: stage sink has nowhere to write to")
    for store in stores:
        try:
            kind_of(store).ping(store)
        except (StoreUnavailable, SettingsError, ValueError) as error:
            yield CheckResult(f"store {store.name}", FAIL, str(error))
        else:
            yield CheckResult(f"store {store.name}", OK, f"{store.kind} answers")


def _topics(wanted: "Sequence[TopicState]", found: "Mapping[str, TopicState]") -> Iterator[CheckResult]:
    from topics.plan import plan

    difference = plan(found, wanted)
    for topic in difference.create:
        yield CheckResult(f"topic {topic.name}", FAIL, "missing; `cinnamon topics apply` makes it")
    for each in (*difference.increase, *difference.keep):
        detail = f"{each.setting} is {each.found}, the catalogue has {each.wanted}"
        yield CheckResult(f"topic {each.topic}", WARN, detail)
    if difference.is_empty:
        yield CheckResult("topics", OK, f"all {len(wanted)} are as in the catalogue")


def _lag(
    settings: "Settings", found: "Mapping[str, TopicState]", reader: "TopicReader", timeout_s: float
) -> Iterator[CheckResult]:
    """Yield how far each group of each stage is; ``found``: the topics that there are."""
    from pipeline.runtime.kafka.settings import KafkaSettings
    from pipeline.runtime.kafka.topic_reader import committed_offsets
    from pipeline.stages.registry import stage_specs

    kafka = settings[KafkaSettings]
    for name, topic in (group for spec in stage_specs() for group in spec.groups_in(settings)):
        group = kafka.group(name)
        if topic not in found:
            yield CheckResult(f"group {group}", WARN, f"has nothing to read: topic {topic} is missing")
            continue
        partitions = reader.partitions(topic)
        committed = committed_offsets(kafka, group, topic, partitions, timeout_s)
        if not committed:
            yield CheckResult(f"group {group}", WARN, "has committed nothing yet: no worker has run this stage")
            continue
        lag = sum(max(0, reader.bounds(topic, each)[1] - committed.get(each, 0)) for each in partitions)
        yield CheckResult(f"group {group}", OK, f"{lag} records of {topic} are not finished")


def _careless_agents(reader: "TopicReader", recent: int) -> Iterator[CheckResult]:
    """Name the resources of records that came without a key: the aggregate stage produced them again with one."""
    import topics
    from pipeline.core.records.identity.rekeying import ORIGIN_HEADER
    from pipeline.runtime.kafka.topic_reader import headers_of

    topic = topics.METRICS_RAW
    starts = {}
    for partition in reader.partitions(topic):
        earliest, latest = reader.bounds(topic, partition)
        starts[partition] = max(earliest, latest - recent)
    agents: Counter[str] = Counter()
    with closing(reader.read(topic, starts)) as messages:
        for message in islice(messages, 2 * recent * len(starts)):
            if any(name == ORIGIN_HEADER for name, _ in headers_of(message)):
                agents[(message.key() or b"").decode("utf-8", "replace")] += 1
    if not agents:
        yield CheckResult("agents", OK, f"none without a key in the last {recent} records of each partition of {topic}")
        return
    for resource, count in agents.most_common(_NAMED_AGENTS):
        detail = f"sent {count} of the recent records without a key; set routing_tag in its outputs.kafka"
        yield CheckResult(f"agent of {resource}", WARN, detail)
    if len(agents) > _NAMED_AGENTS:
        yield CheckResult("agents", WARN, f"and {len(agents) - _NAMED_AGENTS} more send without a key")
