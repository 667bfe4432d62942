"""Read docker-compose.yml as Compose would."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "TICKWHEEL_ADMIN_TOKEN")
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?P<rule>:\?|:-)?(?P<rest>[^}]*)\}")


class Refused(Exception):
    """Compose would not start: a required variable is not set."""


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with its variables replaced."""
    file = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return dict(_replaced(file, variables))


def _replaced(node: Any, variables: Mapping[str, str]) -> Any:
    match node:
        case dict():
            return {name: _replaced(value, variables) for name, value in node.items()}
        case list():
            return [_replaced(value, variables) for value in node]
        case str():
            return _VARIABLE.sub(lambda found: _value(found, variables), node)
        case _:
            return node


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    if value := variables.get(found["name"]):
        return value
    if found["rule"] == ":-":
        return found["rest"]
    raise Refused(found["rest"])
