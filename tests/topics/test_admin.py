"""Topics are read, made and raised on real brokers; what cannot be reached is said plainly."""

import uuid
from collections.abc import Callable

import pytest

from tests.support.servers.kafka import KafkaBroker
from tests.support.servers.process import free_ports
from tests.support.waiting import wait_until
from topics.admin import BrokerError, TopicAdmin
from topics.plan import Plan, TopicState, plan


@pytest.fixture(params=["embedded_broker", "kafka_broker"], ids=["embedded", "kafka"])
def servers(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param).bootstrap_servers)


def admin_of(servers: str, *, timeout_s: float = 15.0) -> TopicAdmin:
    return TopicAdmin({"bootstrap.servers": servers}, timeout_s=timeout_s)


def topic(name: str, *, partitions: int = 3, **config: str) -> TopicState:
    settings = {setting.replace("_", "."): value for setting, value in config.items()}
    return TopicState(name=name, partitions=partitions, replication=1, config=settings)


def applied(admin: TopicAdmin, wanted: TopicState, until: Callable[[Plan], bool]) -> Plan:
    """Apply what is wanted, and return the plan as soon as the broker shows what was done."""
    admin.apply(plan(admin.read([wanted.name]), [wanted]))

    def reached() -> Plan | None:
        left = plan(admin.read([wanted.name]), [wanted])
        return left if until(left) else None

    left = wait_until(reached, timeout_s=20, what=f"topic {wanted.name} as applied")
    assert left is not None
    return left


def test_a_missing_topic_is_created_as_wanted(servers: str) -> None:
    wanted = topic(f"made-{uuid.uuid4().hex}", cleanup_policy="compact", segment_ms="600000")
    admin = admin_of(servers)

    assert admin.read([wanted.name]) == {}
    left = applied(admin, wanted, lambda left: not left.create)

    assert left.is_empty


def test_retention_is_raised_and_what_else_differs_is_left_alone(servers: str) -> None:
    name = f"kept-{uuid.uuid4().hex}"
    admin = admin_of(servers)
    applied(admin, topic(name, retention_ms="100000", cleanup_policy="delete"), lambda left: left.is_empty)

    wanted = topic(name, partitions=6, retention_ms="200000", cleanup_policy="compact")
    left = applied(admin, wanted, lambda left: not left.increase)

    assert [(each.setting, each.found) for each in left.keep] == [("partitions", "3"), ("cleanup.policy", "delete")]
    state = admin.read([name])[name]
    assert (state.partitions, state.config["retention.ms"]) == (3, "200000")


def test_a_topic_that_another_made_in_the_meantime_is_fine(servers: str) -> None:
    wanted = topic(f"twice-{uuid.uuid4().hex}")
    admin = admin_of(servers)
    missing = plan({}, [wanted])

    admin.apply(missing)
    admin.apply(missing)

    wait_until(lambda: admin.read([wanted.name]), timeout_s=20, what="the topic")


@pytest.mark.real
def test_what_the_broker_refuses_is_said_with_topic_and_reason(kafka_broker: KafkaBroker) -> None:
    wanted = topic(f"refused-{uuid.uuid4().hex}", cleanup_policy="burn")

    with pytest.raises(BrokerError, match=rf"topic {wanted.name} cannot be created: .*cleanup\.policy"):
        admin_of(kafka_broker.bootstrap_servers).apply(plan({}, [wanted]))


def test_a_broker_that_is_not_there_is_named_with_the_cause(capfd: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)

    with pytest.raises(BrokerError, match=rf"no Kafka broker at 127\.0\.0\.1:{port}: .*Connection refused"):
        admin_of(f"127.0.0.1:{port}", timeout_s=1).read(["t"])

    assert capfd.readouterr() == ("", "")


def test_settings_that_the_client_refuses_are_an_error() -> None:
    with pytest.raises(BrokerError, match=r"not accepted: .*security\.protocol"):
        TopicAdmin({"bootstrap.servers": "127.0.0.1:1", "security.protocol": "MAGIC"})
