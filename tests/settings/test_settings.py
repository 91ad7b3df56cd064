"""Settings come from file and environment, and every mistake is explained in one go."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.factory import Settings, load_settings
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.settings.base import Section, SettingsError
from pipeline.settings.model import compose
from pipeline.stages.aggregate.settings import WindowRuleSettings, WindowsSettings
from pipeline.stages.registry import stage_names
from pipeline.stores.settings import StoreSettings, integrated_store, regional_stores

SECRET = "hunter2-SECRET"  # noqa: S105  what must not show anywhere


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CINNAMON_"):
            monkeypatch.delenv(name)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cinnamon.yaml"
    path.write_text(text)
    return path


def mistakes_in(path: Path | None) -> list[str]:
    with pytest.raises(SettingsError, match=r".") as caught:
        load_settings(path)
    return caught.value.mistakes


def test_defaults_need_no_file() -> None:
    settings = load_settings()

    assert settings == Settings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.worker.stages == stage_names()
    assert settings.stores == ()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "# nothing\n")) == Settings()


def test_environment_beats_file_and_leaves_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_KAFKA__BOOTSTRAP_SERVERS", "kafka-1:9092,[::1]:9093")
    path = written(tmp_path, "kafka: {bootstrap_servers: 'other:1', client_id: mine}")

    kafka = load_settings(path).kafka

    assert kafka.bootstrap_servers == "kafka-1:9092,[::1]:9093"
    assert kafka.client_id == "mine"


@pytest.mark.parametrize("text", ["sink,aggregate", '["sink", "aggregate"]'])
def test_a_list_in_the_environment_is_json_or_comma_separated(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_WORKER__STAGES", text)

    assert load_settings().worker.stages == ("sink", "aggregate")


def test_an_empty_variable_is_as_if_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_WINDOWS__ALLOWED_LATENESS_S", "")

    assert load_settings().windows.allowed_lateness_s is None


def test_a_constructed_model_does_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_KAFKA__CLIENT_ID", "from-environment")

    assert Settings().kafka.client_id == "cinnamon"


def test_a_store_is_named_in_the_environment_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_STORES__EU_WEST__TOKEN", SECRET)
    path = written(
        tmp_path,
        "stores:\n"
        "  - {name: here, kind: embedded, path: here.sqlite}\n"
        "  - {name: eu-west, kind: influxdb, url: 'http://influx:8086/', org: o, bucket: b, regions: ['eu-*']}\n",
    )

    here, eu_west = load_settings(path).stores

    assert here.read_token() is None
    assert eu_west.read_token() == SECRET
    assert eu_west.url == "http://influx:8086"


def test_a_store_that_the_file_lacks_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_STORES__EU_WEST__TOKEN", SECRET)

    assert mistakes_in(None) == ["CINNAMON_STORES__EU_WEST: needs the name of a store and a field"]


def test_every_mistake_is_reported_with_place_value_and_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_WORKER__WEB_PORT", "99999")
    path = written(
        tmp_path,
        "kafka: {session_timeout_s: -4, bootstrap_servers: foo}\n"
        "windows: {every_s: 700, rules: [{every_s: 0.0105}]}\n"
        "stores: [{name: a, kind: embedded}, {kind: influxdb}]\n"
        "worker: {stages: [aggregate, sync]}\n",
    )

    host_and_port = "must be HOST:PORT, several separated by commas, each port 1 to 65535"
    assert mistakes_in(path) == [
        f"{path}: kafka.bootstrap_servers: {host_and_port}; got 'foo'",
        f"{path}: kafka.session_timeout_s: should be greater than 0; got -4",
        f"{path}: windows.every_s: must be 0.1 to 600 s; longer cycles are rolled up from metrics.agg; got 700",
        f"{path}: windows.rules[0].every_s: must be a whole number of milliseconds; got 0.0105",
        f"{path}: stores[0]: kind embedded needs path",
        f"{path}: stores[1].name: is required",
        f"{path}: worker.stages: must be one or more of {', '.join(stage_names())}, each once",
        "CINNAMON_WORKER__WEB_PORT (worker.web_port): should be less than or equal to 65535; got '99999'",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("kafak: {}", "kafak: unknown key; did you mean kafka?"),
        ("kafka: {bootstrap_server: x}", "kafka.bootstrap_server: unknown key; did you mean bootstrap_servers?"),
        ("windows: {rules: [{every_s: 1, tag: {}}]}", "windows.rules[0].tag: unknown key; did you mean tags?"),
    ],
)
def test_an_unknown_key_is_refused_with_the_likely_one(text: str, mistake: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)

    assert mistakes_in(path) == [f"{path}: {mistake}"]


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        (
            "CINNAMON_KAFKA__BOOTSTRAP_SERVER",
            "CINNAMON_KAFKA__BOOTSTRAP_SERVER (kafka.bootstrap_server): unknown key; did you mean bootstrap_servers?",
        ),
        (
            "CINNAMON_KAFKA_CLIENT_ID",
            "CINNAMON_KAFKA_CLIENT_ID: unknown setting; did you mean CINNAMON_KAFKA__CLIENT_ID?",
        ),
        (
            "CINNAMON_KAFAK__CLIENT_ID",
            "CINNAMON_KAFAK__CLIENT_ID: unknown setting; did you mean CINNAMON_KAFKA__CLIENT_ID?",
        ),
    ],
)
def test_an_unknown_variable_is_refused_with_the_likely_one(
    name: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")

    assert mistakes_in(None) == [mistake]


@pytest.mark.parametrize(
    "name",
    ["CINNAMON_HOME", "CINNAMON_WORKER_SERVICE_HOST", "CINNAMON_WORKER_PORT", "CINNAMON_WORKER_PORT_6066_TCP_ADDR"],
)
def test_variables_that_are_no_settings_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:6066")

    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kafka: [", "line 1, column 9: not valid YAML: expected the node content"),
        ("kafka: {}\nkafka: {}", "line 1, column 1: not valid YAML: a key is there twice"),
        ("kafka: *hunter2-SECRET", "line 1, column 8: not valid YAML: wrong alias, tag or key"),
        ("kafka: !hunter2-SECRET x", "line 1, column 8: not valid YAML: wrong alias, tag or key"),
        ("- kafka", "must be a mapping with the keys kafka, parsing, windows, downsample, detect"),
        ("1: 2", "must be a mapping with the keys"),
        ("[" * 5000, "nested too deeply"),
        ("kafka: \x00", "not valid YAML: wrong encoding"),
        ("# " + "x" * 1024 * 1024, "is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_without_an_excerpt(text: str, reason: str, tmp_path: Path) -> None:
    [mistake] = mistakes_in(written(tmp_path, text))

    assert reason in mistake
    assert SECRET not in mistake


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "text",
    [
        f"kafka: {{sasl_password: ['{SECRET}']}}",
        f"kafka: {{sasl_passwort: '{SECRET}'}}",
        f"kafka: '{SECRET}'",
        f"kafka: {{security_protocol: SASL_SSL, sasl_password: '{SECRET}'}}",
        f"stores: [{{name: a, kind: influxdb, url: 'http://me:{SECRET}@h', token: '{SECRET}'}}]",
        f"stores: [{{name: a, kind: embedded, path: x, token: '{SECRET}'}}]",
    ],
)
def test_no_mistake_shows_a_secret(text: str, tmp_path: Path) -> None:
    assert SECRET not in "\n".join(mistakes_in(written(tmp_path, text)))


def test_a_secret_in_malformed_json_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_STORES", f'[{{"token": "{SECRET}"')

    assert mistakes_in(None) == ["CINNAMON_STORES (stores): should be a valid tuple"]


def test_secrets_show_neither_in_repr_nor_in_a_dump() -> None:
    settings = Settings(
        kafka=KafkaSettings(sasl_password=SecretStr(SECRET), ssl_key_password=SecretStr(SECRET)),
        stores=(
            StoreSettings(name="a", kind="influxdb", url="http://h", org="o", bucket="b", token=SecretStr(SECRET)),
        ),
    )

    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.client_id = "other"  # type: ignore[misc]


def test_every_setting_has_a_title_and_a_description() -> None:
    models: list[type[Section | Settings]] = [Settings, *Section.__subclasses__()]

    lacking = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not (field.title and field.description)
    ]

    assert lacking == []


@pytest.mark.parametrize(
    ("stores", "mistake"),
    [
        (
            "{name: a, role: integrated, path: x}, {name: b, role: integrated, path: y}",
            "at most one store has role integrated, but a, b have it",
        ),
        (
            "{name: a, role: integrated, path: x}, {name: a-alerts, path: y}",
            "a store named a-alerts would share a consumer group of the store a",
        ),
        ("{name: a, path: x}, {name: b, path: x}", "each embedded store needs a path of its own"),
    ],
)
def test_stores_that_cannot_stand_beside_each_other_are_refused(stores: str, mistake: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"stores: [{stores.replace('{', '{kind: embedded, ')}]")

    assert mistakes_in(path) == [f"{path}: {mistake}"]


def test_an_integrated_store_has_no_regions(tmp_path: Path) -> None:
    path = written(tmp_path, "stores: [{name: a, kind: embedded, path: x, role: integrated, regions: [eu]}]")

    mistake = "regions are for role regional: the integrated store takes the history of all"
    assert mistakes_in(path) == [f"{path}: stores[0]: {mistake}"]


def test_stores_are_told_apart_by_their_roles(tmp_path: Path) -> None:
    text = (
        "{name: a, kind: embedded, path: x, retention_days: 0.5}, {name: b, kind: embedded, path: y, role: integrated}"
    )
    settings = load_settings(written(tmp_path, f"stores: [{text}]"))

    assert [(store.name, store.retention_ms) for store in regional_stores(settings)] == [("a", 43_200_000)]
    assert integrated_store(settings) is not None
    assert (integrated_store(settings).name, integrated_store(settings).retention_ms) == ("b", None)


def test_two_stores_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "stores: [{name: a, kind: embedded, path: x}, {name: a, kind: embedded, path: y}]")

    assert mistakes_in(path) == [f"{path}: stores must have different names, but a is there twice"]


def test_correction_and_idle_close_follow_cycle_and_grace() -> None:
    windows = WindowsSettings(every_s=0.5, grace_s=0.25)

    assert (windows.every_ms, windows.grace_ms, windows.allowed_lateness_ms, windows.idle_close_ms) == (
        500,
        250,
        500,
        250,
    )


def test_a_rule_takes_the_default_grace_and_one_window_of_its_own_for_corrections() -> None:
    windows = WindowsSettings(grace_s=7)

    assert windows.timing_of(WindowRuleSettings(every_s=300)) == (300_000, 7_000, 300_000)
    assert windows.timing_of(WindowRuleSettings(every_s=120, grace_s=0, allowed_lateness_s=0)) == (120_000, 0, 0)


@pytest.mark.parametrize(("session_s", "heartbeat_ms"), [(45.0, 3000), (2.0, 200), (10.0, 1000)])
def test_heartbeats_come_ten_a_session_and_at_least_every_three_seconds(session_s: float, heartbeat_ms: int) -> None:
    assert KafkaSettings(session_timeout_s=session_s).heartbeat_interval_ms == heartbeat_ms


def test_heartbeats_slower_than_a_third_of_the_session_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most a third of session_timeout_s"):
        KafkaSettings(session_timeout_s=6, heartbeat_interval_s=3)


def test_a_plain_connection_names_no_credentials() -> None:
    assert KafkaSettings().librdkafka() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "client.id": "cinnamon",
        "security.protocol": "PLAINTEXT",
    }


def test_tls_and_sasl_reach_the_client_with_the_password_from_its_file(tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text(f"{SECRET}\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password_file=password_file,
        ssl_ca_file=Path("ca.pem"),
    )

    assert kafka.librdkafka() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "client.id": "cinnamon",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": SECRET,
        "ssl.ca.location": "ca.pem",
    }


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"x" * 65_537])
def test_a_secret_file_that_holds_no_secret_is_a_mistake(content: bytes | None, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    store = StoreSettings(name="a", kind="influxdb", url="http://h", org="o", bucket="b", token_file=token_file)

    with pytest.raises(SettingsError, match=r"stores\.a\.token_file: .*token"):
        store.read_token()


def test_plaintext_has_no_tls_context_and_a_missing_authority_is_a_mistake(tmp_path: Path) -> None:
    assert KafkaSettings().ssl_context() is None
    with pytest.raises(SettingsError, match=r"kafka\.ssl_\*: cannot use the certificates: No such file"):
        KafkaSettings(security_protocol="SSL", ssl_ca_file=tmp_path / "none.pem").ssl_context()


def test_incomplete_sasl_is_refused() -> None:
    with pytest.raises(ValidationError, match="SASL_SSL needs sasl_mechanism, sasl_username and sasl_password"):
        KafkaSettings(security_protocol="SASL_SSL", sasl_username="me")


def test_former_names_in_a_file_are_still_read(tmp_path: Path) -> None:
    settings = load_settings(
        written(
            tmp_path,
            "windows: {correction_s: 5, rules: [{every_s: 1, correction_s: 4}]}\n"
            "downsample: {correction_s: 7}\n"
            "act: {tell_within_s: 6}",
        )
    )

    assert settings.windows.allowed_lateness_s == 5
    assert settings.windows.rules[0].allowed_lateness_s == 4
    assert settings.downsample.allowed_lateness_s == 7
    assert settings.act.notify_within_s == 6


def test_former_names_in_the_environment_are_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_WINDOWS__CORRECTION_S", "5")
    monkeypatch.setenv("CINNAMON_DOWNSAMPLE__CORRECTION_S", "7")
    monkeypatch.setenv("CINNAMON_ACT__TELL_WITHIN_S", "6")
    settings = load_settings()

    assert settings.windows.allowed_lateness_s == 5
    assert settings.downsample.allowed_lateness_s == 7
    assert settings.act.notify_within_s == 6


def test_the_environment_beats_a_former_name_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINNAMON_WINDOWS__ALLOWED_LATENESS_S", "7")

    assert load_settings(written(tmp_path, "windows: {correction_s: 5}")).windows.allowed_lateness_s == 7


def test_a_section_is_found_by_its_class() -> None:
    settings = Settings(kafka=KafkaSettings(client_id="mine"))

    assert settings[KafkaSettings].client_id == "mine"
    assert settings.having(KafkaSettings(client_id="other"))[KafkaSettings].client_id == "other"


def test_two_sections_of_one_key_are_refused() -> None:
    class Other(Section):
        """Another."""

        key = "kafka"

    with pytest.raises(ValueError, match="two sections of the settings have the key 'kafka'"):
        compose([KafkaSettings, Other])
