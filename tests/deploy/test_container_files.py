"""docker-compose.yml, the Dockerfile and their company, as texts."""

import json
import re

import pytest
from jsonschema import Draft201909Validator

from app.config import load_settings
from tests.deploy.compose import ROOT, SECRETS, Refused, compose

GIVEN = dict.fromkeys(SECRETS, "s" * 64)
OURS = ("migrate", "api", "worker")


def test_compose_file_follows_the_specification() -> None:
    schema = json.loads((ROOT / "tests/deploy/compose-spec.json").read_text())
    problems = Draft201909Validator(schema).iter_errors(compose(GIVEN))
    assert [f"{problem.json_path}: {problem.message}" for problem in problems] == []


@pytest.mark.parametrize("name", SECRETS)
def test_compose_refuses_to_start_without_each_secret(name: str) -> None:
    with pytest.raises(Refused, match=f"set {name} in .env"):
        compose(GIVEN | {name: ""})


def test_example_environment_names_every_secret_and_gives_none() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in SECRETS:
        assert re.search(rf"^{name}=$", example, re.MULTILINE)


def test_no_secret_stands_in_the_files() -> None:
    for file in ("docker-compose.yml", "Dockerfile", ".env.example"):
        for line in (ROOT / file).read_text().splitlines():
            assert not re.search(r"(?i)(password|token|secret)\w*[:=] *[^$\s]\w{7,}", line), line


def test_only_this_machine_reaches_the_api_unless_told_otherwise() -> None:
    services = compose(GIVEN)["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8080:8080"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_given_valid_settings(name: str) -> None:
    environment = compose(GIVEN)["services"][name]["environment"]
    settings = load_settings(environment, required=("database_url", "redis_url"))
    assert not settings.allow_commands


def test_the_key_of_secrets_reaches_the_api_and_the_worker() -> None:
    services = compose(GIVEN | {"TICKWHEEL_SECRET_KEYS": "a:b"})["services"]
    assert services["api"]["environment"]["TICKWHEEL_SECRET_KEYS"] == "a:b"
    assert services["worker"]["environment"]["TICKWHEEL_SECRET_KEYS"] == "a:b"


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_without_privileges(name: str) -> None:
    service = compose(GIVEN)["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_runs_for_ever_has_a_health_check_and_starts_again() -> None:
    services = compose(GIVEN)["services"]
    for name in services.keys() - {"migrate"}:
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name


def test_processes_wait_for_the_migration() -> None:
    services = compose(GIVEN)["services"]
    for name in ("api", "worker"):
        condition = services[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"


def test_image_is_locked_and_runs_as_nobody_in_particular() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    final = dockerfile.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root|0)", final, re.MULTILINE)
    installs = re.findall(r"pip install(?:\\\n|[^&\n])*", dockerfile)
    assert len(installs) == 2
    assert all("--require-hashes" in install for install in installs)


def test_every_copied_file_is_let_in() -> None:
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert {path for paths in copied for path in paths.split()} == let_in
    assert all((ROOT / path).exists() for path in let_in)
