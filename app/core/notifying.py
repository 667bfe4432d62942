"""What a notification rule may say, and what its messages say. Pure.

A target is `{type: "webhook", url, sign}`, `sign` being the key of a secret, or `{type: "email",
to: [...]}`. A filter narrows a rule: `{jobs, schedules, tags, minSeverity}`; all of it must hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.errors import Invalid
from app.core.vocabulary import NotificationEvent, Severity

MAY_BE_TOLD = frozenset(
    {
        ("RUN", "FINISHED"),
        ("RUN", "LOST"),
        ("SCHEDULE", "PAUSED"),
        ("SCHEDULE", "QUARANTINED"),
        ("FINDING", "OPENED"),
        ("FINDING", "CHANGED"),
        ("FINDING", "RESOLVED"),
    }
)
"""Subject and change of the events that a rule may have to tell of."""

MOST_RECIPIENTS = 20
_MOST_NAMED = 100
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,250}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where a message is posted to, and the key of the secret that signs it."""

    url: str
    sign: str


@dataclass(frozen=True, slots=True)
class EmailTarget:
    """Whom a message is mailed to."""

    to: tuple[str, ...]


Target = WebhookTarget | EmailTarget


def read_target(value: Mapping[str, Any]) -> Target:
    """Return a target; whether its address may be reached is for others to say. Raises Invalid."""
    match value.get("type"):
        case "webhook":
            _refuse_others(value, ("type", "url", "sign"), "target")
            return WebhookTarget(_text(value, "url"), _text(value, "sign"))
        case "email":
            _refuse_others(value, ("type", "to"), "target")
            return EmailTarget(_addresses(value.get("to")))
    raise Invalid('A target has the type "webhook" or "email".', path=("target", "type"))


def check_events(events: Sequence[NotificationEvent]) -> list[str]:
    """Return the events of a rule, each once, in the order of the vocabulary. Raises Invalid."""
    if not events:
        raise Invalid("A rule names at least one event.", path=("events",))
    return [event.value for event in NotificationEvent if event in events]


def check_filter(value: Mapping[str, Any]) -> None:
    """Raise Invalid for a filter that means nothing."""
    _refuse_others(value, ("jobs", "schedules", "tags", "minSeverity"), "filter")
    for name in ("jobs", "schedules"):
        if name in value and not _is_list_of_texts(value[name]):
            raise Invalid(f"{name} is a list of keys.", path=("filter", name))
    tags = value.get("tags", {})
    if not isinstance(tags, Mapping) or not all(isinstance(text, str) for text in tags.values()):
        raise Invalid('tags is an object of texts: {"team": "billing"}.', path=("filter", "tags"))
    if "minSeverity" in value and value["minSeverity"] not in list(Severity):
        raise Invalid(
            f"minSeverity is one of {', '.join(Severity)}.", path=("filter", "minSeverity")
        )


def retry_delay_seconds(attempts: int, *, first_seconds: float) -> float:
    """Return how long to wait after so many attempts: twice as long each time, up to an hour."""
    return float(min(first_seconds * 2 ** (attempts - 1), 3600.0))


def title_of(notifications: Sequence[Mapping[str, Any]]) -> str:
    """Return a message in one line."""
    if len(notifications) == 1:
        return line_of(notifications[0])
    return f"{len(notifications)} notifications, the first: {line_of(notifications[0])}"


def text_of(notifications: Sequence[Mapping[str, Any]]) -> str:
    """Return a message as plain text, for people."""
    lines = [f"{each['at']}  {line_of(each)}" for each in notifications[:_MOST_NAMED]]
    if len(notifications) > _MOST_NAMED:
        lines.append(f"and {len(notifications) - _MOST_NAMED} more.")
    return "\n".join(lines) + "\n"


def line_of(notification: Mapping[str, Any]) -> str:
    """Return a notification in one line."""
    text = f"{_WORDS[NotificationEvent(notification['event'])]}: {_subject_of(notification)}"
    said = notification.get("message")
    return " ".join((f"{text}: {said}" if said else text).split())[:500]


def _subject_of(notification: Mapping[str, Any]) -> str:
    for name in ("finding", "schedule", "job"):
        thing = notification.get(name)
        if thing is not None:
            return f"{name} {thing['code'] if name == 'finding' else thing['key']}"
    return "?"


_WORDS = {
    NotificationEvent.RUN_FAILED: "Run failed",
    NotificationEvent.RUN_RECOVERED: "Run succeeded again",
    NotificationEvent.SCHEDULE_AUTO_PAUSED: "Schedule paused itself",
    NotificationEvent.SCHEDULE_QUARANTINED: "Schedule quarantined",
    NotificationEvent.FINDING_OPENED: "Finding opened",
    NotificationEvent.FINDING_RESOLVED: "Finding resolved",
}


def _refuse_others(value: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in value:
        if name not in known:
            raise Invalid(
                f"{name} is unknown here; there are {', '.join(known)}.", path=(where, name)
            )


def _text(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise Invalid(f"A webhook needs {name}, a text.", path=("target", name))
    return text


def _addresses(value: Any) -> tuple[str, ...]:
    if not _is_list_of_texts(value) or not 1 <= len(value) <= MOST_RECIPIENTS:
        raise Invalid(
            f"to is a list of 1 to {MOST_RECIPIENTS} e-mail addresses.", path=("target", "to")
        )
    for index, address in enumerate(value):
        if not _ADDRESS.fullmatch(address):
            raise Invalid(
                f"{address[:80]!r} is not an e-mail address.", path=("target", "to", str(index))
            )
    return tuple(value)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
