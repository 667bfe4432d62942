"""Find by key or id what a person names."""

from app.client.errors import Problem, Refused
from app.client.server import Record, Server
from app.core.ids import split_id


def schedule_id(server: Server, named: str) -> str:
    """Return the id of the schedule with this key, or this id; raise `Refused` if there is none."""
    return _found(server, "schedule", named)


def job_id(server: Server, named: str) -> str:
    """Return the id of the job with this key, or this id; raise `Refused` if there is none."""
    return _found(server, "job", named)


def missing(kind: str, named: str) -> Refused:
    """Return what to raise when there is no such thing."""
    hint = f"`tickwheel get {kind}s` lists them."
    return Refused(Problem("NOT_FOUND", f"There is no {kind} {named[:200]!r}.", hint=hint))


def _found(server: Server, kind: str, named: str) -> str:
    record: Record | None = server.ask("named", kind, **key_or_id(kind, named))[kind]
    if record is None:
        raise missing(kind, named)
    return str(record["id"])


def key_or_id(kind: str, named: str) -> dict[str, str]:
    """Return which of the two a person has typed."""
    return {"id": named} if (split_id(named) or ("",))[0] == kind else {"key": named}
