"""Settings that contradict each other are refused, and the message names them."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.control.settings import ControlSettings
from pipeline.runtime.kafka.settings import KafkaSettings
from pipeline.settings.base import Section
from pipeline.stores.settings import StoreSettings

FILE = Path("/run/secrets/one")
TEXT = SecretStr("hunter2-SECRET")


@pytest.mark.parametrize(
    ("section", "given", "message"),
    [
        (
            KafkaSettings,
            {"sasl_password": TEXT, "sasl_password_file": FILE},
            "sasl_password and sasl_password_file exclude each other",
        ),
        (KafkaSettings, {"ssl_certificate_file": FILE}, "ssl_certificate_file and ssl_key_file go together"),
        (KafkaSettings, {"bootstrap_servers": "kafka:0"}, "must be HOST:PORT"),
        (
            ControlSettings,
            {"database_secret": TEXT, "database_secret_file": FILE},
            "database_secret and database_secret_file exclude each other",
        ),
        (ControlSettings, {"oidc_issuer": "https://login.example"}, "oidc_audience is required with oidc_issuer"),
        (StoreSettings, {"name": "eu", "kind": "embedded"}, "kind embedded needs path"),
        (StoreSettings, {"name": "eu", "kind": "influxdb"}, "kind influxdb needs url, org, bucket"),
        (
            StoreSettings,
            {"name": "eu", "kind": "embedded", "path": FILE, "token": TEXT},
            "token: only for kind influxdb",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    section: type[Section], given: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        section.model_validate(given)
    assert "hunter2" not in str(caught.value)
