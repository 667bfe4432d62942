"""What the handlers of a process are allowed, from its settings."""

from pathlib import Path

from app.config import Settings
from app.runtime import handler_options


def test_jobs_cannot_reach_our_own_ports() -> None:
    settings = Settings(
        database_url="postgresql://u:p@db:5433/x", redis_url="redis://cache", port=1, worker_port=2
    )
    options = handler_options(settings)
    assert options.own_ports == (1, 2)
    assert options.store_ports == (5433, 6379)


def test_a_file_of_certificates_reaches_the_handlers() -> None:
    options = handler_options(Settings(http_ca_file=Path("/etc/own.pem")))
    assert options.http_ca_file == "/etc/own.pem"
