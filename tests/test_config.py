"""Settings: what the environment says, and what is said about a wrong one."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.config import Settings, load_settings, settings_table, variable_of
from app.core.errors import InvalidInput


def complaints(**given: str) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        load_settings({f"TICKWHEEL_{name}": value for name, value in given.items()})
    return [error.message for error in refused.value.errors]


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.worker_slots) == ("127.0.0.1", 8080, 200)
    assert settings.catch_up_window == timedelta(minutes=15)
    assert not settings.allow_commands
    assert not settings.graphiql


def test_values_are_parsed_from_text() -> None:
    settings = load_settings(
        {
            "TICKWHEEL_DATABASE_URL": "postgresql://u:p@db/tickwheel",
            "TICKWHEEL_DATA_DIR": "/var/lib/tickwheel",
            "TICKWHEEL_PORT": "9000",
            "TICKWHEEL_ALLOW_COMMANDS": "yes",
            "TICKWHEEL_HTTP_ALLOW_NETWORKS": "10.1.0.0/16, ::1/128",
            "TICKWHEEL_TASKS": "billing.tasks,reports",
            "TICKWHEEL_CATCH_UP_WINDOW": "90",
            "TICKWHEEL_DEFAULT_TIMEOUT": "PT1M30S",
            "TICKWHEEL_DEFAULT_TIMEZONE": "Europe/Berlin",
            "PATH": "/bin",
        }
    )
    assert settings.data_dir == Path("/var/lib/tickwheel")
    assert settings.port == 9000
    assert settings.allow_commands
    assert settings.http_allow_networks == ("10.1.0.0/16", "::1/128")
    assert settings.tasks == ("billing.tasks", "reports")
    assert settings.catch_up_window == settings.default_timeout == timedelta(seconds=90)


def test_empty_variable_counts_as_not_set() -> None:
    assert load_settings({"TICKWHEEL_PORT": ""}).port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("WORKER_SLOTS", "0"),
        ("WORKER_SLOTS", "many"),
        ("LEASE_SECONDS", "nan"),
        ("LEASE_SECONDS", "1"),
        ("ALLOW_COMMANDS", "perhaps"),
        ("ALLOW_SHELL", "true"),
        ("CATCH_UP_WINDOW", "P1M"),
        ("CATCH_UP_WINDOW", "-5"),
        ("DEFAULT_TIMEOUT", "PT0S"),
        ("DEFAULT_MAX_ATTEMPTS", "0"),
        ("DEFAULT_TIMEZONE", "Mars/Olympus"),
        ("HTTP_ALLOW_NETWORKS", "10.1.0.0/99"),
        ("HTTP_ALLOW_NETWORKS", "10.1.2.3/16"),
        ("TASKS", "rm -rf"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("REDIS_PREFIX", "a:b"),
        ("HEARTBEAT_SECONDS", "7.5"),
        ("SWEEP_SECONDS", "16"),
    ],
)
def test_wrong_value_is_reported_with_name_value_and_what_is_allowed(name: str, value: str) -> None:
    [complaint] = complaints(**{name: value})
    assert f"TICKWHEEL_{name}" in complaint
    assert repr(value) in complaint
    assert "Allowed: " in complaint


def test_every_wrong_setting_is_reported_at_once() -> None:
    assert len(complaints(PORT="x", WORKER_SLOTS="x", PROT="x")) == 3


def test_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert complaints(PROT="9000") == [
        "TICKWHEEL_PROT is not a setting. Did you mean TICKWHEEL_PORT?"
    ]


def test_unknown_zone_is_refused_with_the_nearest_one() -> None:
    [complaint] = complaints(DEFAULT_TIMEZONE="europe/berlin")
    assert complaint.endswith("Did you mean Europe/Berlin?")


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "ADMIN_TOKEN"])
def test_wrong_secret_is_not_shown(name: str) -> None:
    [complaint] = complaints(**{name: "mysql://root:hunter2@db"})
    assert "hunter2" not in complaint
    assert "not shown" in complaint


def test_settings_do_not_show_their_secrets() -> None:
    settings = load_settings({"TICKWHEEL_REDIS_URL": "redis://:hunter2@cache"})
    assert "hunter2" not in repr(settings)


def test_one_port_for_api_and_worker_is_refused() -> None:
    assert "two different ports" in complaints(PORT="9000", WORKER_PORT="9000")[0]


def test_what_a_process_needs_is_asked_for() -> None:
    with pytest.raises(InvalidInput, match="TICKWHEEL_DATABASE_URL is not set"):
        load_settings({}, required=("database_url",))


def test_what_the_client_reads_is_no_unknown_setting() -> None:
    names = ("TICKWHEEL_URL", "TICKWHEEL_TOKEN", "TICKWHEEL_PROJECT")
    assert load_settings(dict.fromkeys(names, "x")) == Settings()


def test_a_command_of_a_run_may_start_tickwheel() -> None:
    assert load_settings({"TICKWHEEL_RUN_ID": "1", "TICKWHEEL_PARAM_SIZE": "3"}).port == 8080


def test_table_documents_every_setting() -> None:
    table = settings_table()
    for name, field in Settings.model_fields.items():
        assert f"| `{variable_of(name)}` |" in table
        assert field.description
        assert field.description.endswith(".")
