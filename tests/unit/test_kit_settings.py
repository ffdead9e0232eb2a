import os
from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from flyball_kit.settings import KitSettings, SettingsError, load, open_telemetry, refuse_unknown


class Settings(KitSettings):
    model_config = SettingsConfigDict(env_prefix="FLYBALL_RISK_")

    hold_expires_s: float = Field(default=120.0, gt=0, description="Seconds.")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("FLYBALL_", "OTEL_")):
            monkeypatch.delenv(name)


def test_defaults_need_no_variable() -> None:
    assert load(Settings) == Settings()
    assert load(Settings).redis_url is None


def test_common_and_own_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_PARTITIONS", "4")
    monkeypatch.setenv("FLYBALL_NATS_SEED_FILE", "/creds/risk.nk")
    monkeypatch.setenv("FLYBALL_S3_SECURE", "true")
    monkeypatch.setenv("FLYBALL_RISK_HOLD_EXPIRES_S", "2.5")
    found = load(Settings)
    assert (found.partitions, found.hold_expires_s, found.s3_secure) == (4, 2.5, True)
    assert found.nats_seed_file == Path("/creds/risk.nk")


def test_a_common_variable_can_be_set_for_one_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("FLYBALL_RISK_LOG_LEVEL", "DEBUG")
    assert load(Settings).log_level == "DEBUG"
    assert load(KitSettings).log_level == "ERROR"
    assert load(KitSettings, "risk", strict=False).log_level == "DEBUG"


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_PARTITIONS", "4")
    assert Settings(partitions=2).partitions == 2


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("FLYBALL_RISK_HOLD_EXPIRE_S", "did you mean FLYBALL_RISK_HOLD_EXPIRES_S?"),
        ("FLYBALL_RISK_ZZZ", "valid are FLYBALL_DOMAIN, "),
        ("FLYBALL_NATS_ULR", "did you mean FLYBALL_NATS_URL?"),
        ("FLYBALL_METRIC_PORT", "did you mean FLYBALL_METRICS_PORT?"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_valid_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=variable) as caught:
        load(Settings)
    assert said in str(caught.value)


def test_variables_of_others_are_none_of_our_business() -> None:
    refuse_unknown(
        Settings, ["FLYBALL_TRAINER_WORKERS", "FLYBALL_HOME", "FLYBALL_NATS_URL", "PATH"]
    )


def test_a_value_that_is_not_valid_is_named_in_one_line_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FLYBALL_PARTITIONS", "s3cret")
    monkeypatch.setenv("FLYBALL_RISK_HOLD_EXPIRES_S", "0")
    with pytest.raises(SettingsError) as caught:
        load(Settings)
    message = str(caught.value)
    assert "FLYBALL_PARTITIONS: " in message
    assert "FLYBALL_RISK_HOLD_EXPIRES_S: Input should be greater than 0" in message
    assert "s3cret" not in message
    assert "\n" not in message


def test_secrets_are_not_printed() -> None:
    assert "hush" not in repr(KitSettings(s3_secret_key="hush"))  # type: ignore[arg-type]


def test_every_setting_is_described() -> None:
    assert [n for n, f in KitSettings.model_fields.items() if not f.description] == []


@pytest.mark.parametrize(
    ("environ", "sends"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_telemetry_is_sent_only_when_somewhere_is_named(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], sends: bool
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert open_telemetry() is sends
