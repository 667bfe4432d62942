"""Projects: create them, and change what their jobs and schedules get by default.

A project is a tenant: nothing of one is seen from another. Who administers the instance creates
them; who administers a project changes it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.defaults import Defaults, check_project_defaults
from app.core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from app.core.vocabulary import Role
from app.handlers.options import HandlerOptions
from app.models import Project
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.absent import ABSENT, Given, is_given
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.rules import check_key, check_name
from app.services.writing import (
    Subject,
    check_version,
    field_changes,
    note_audit,
)
from app.store.database import ReadConnection
from app.store.instants import read_now
from app.store.projects import (
    insert_project,
    lock_project_by_key,
    read_project,
    read_projects,
    update_project,
)

MOST_PROJECTS = 10_000
"""How many projects are listed."""

DEFAULT_RETENTION = timedelta(days=90)
_SHORTEST_RETENTION, _LONGEST_RETENTION = timedelta(hours=1), timedelta(days=3_650)


@dataclass(frozen=True, slots=True)
class ProjectRequest:
    """What a project is to be; the key says which one. Absent is unchanged, None clears."""

    key: str
    name: str
    defaults: Given[Any] = ABSENT
    retention: Given[timedelta] = ABSENT
    shell_allowed: Given[bool] = ABSENT
    expected_version: int | None = None


async def list_projects(connection: ReadConnection, principal: Principal) -> list[Project]:
    """Return the projects that the caller can open, by key."""
    if principal.governs:
        return await read_projects(connection, limit=MOST_PROJECTS)
    project = await read_project(connection, principal.project_id)
    return [] if project is None else [project]


async def defaults_of(runtime: Runtime, connection: ReadConnection, project_id: UUID) -> Defaults:
    """Return what jobs and schedules of a project get where they say nothing themselves."""
    project = await read_project(connection, project_id)
    return runtime.defaults if project is None else runtime.defaults.of_project(project.defaults)


async def rights_of(
    runtime: Runtime, connection: ReadConnection, project_id: UUID
) -> HandlerOptions:
    """Return what jobs of a project may do: what the instance allows, and the project has."""
    project = await read_project(connection, project_id)
    return runtime.handler_options.of_project(
        shell_allowed=project is not None and project.shell_allowed
    )


async def create_project(
    runtime: Runtime, principal: Principal, request: ProjectRequest
) -> Project:
    """Create a project."""
    principal.require_instance()
    columns = _read(request)
    async with runtime.database.transaction() as transaction:
        project = Project(
            **{"defaults": {}, "retention_seconds": _seconds(DEFAULT_RETENTION), **columns},
            id=new_id(),
            key=request.key,
            created_at=await read_now(transaction),
        )
        if not await insert_project(transaction, project):
            raise AlreadyExists(
                f"There is a project with the key {request.key!r} already.", path=("key",)
            )
        summary = f"Created the project {project.key}"
        await note_audit(
            transaction, principal, "projectCreate", Subject.PROJECT, [(project.id, summary)]
        )
    return project


async def change_project(
    runtime: Runtime, principal: Principal, request: ProjectRequest
) -> Project:
    """Change the project of that key; its jobs and schedules keep what they have."""
    principal.require(Role.ADMIN)
    columns = _read(request)
    async with runtime.database.transaction() as transaction:
        before = await lock_project_by_key(transaction, request.key)
        if before is None or not (principal.governs or before.id == principal.project_id):
            raise NotFound(
                f"There is no project {request.key!r} that you administer.", path=("key",)
            )
        check_version(request.expected_version, before.version)
        changes = field_changes(before.model_dump(), columns)
        if not changes:
            return before
        if columns.get("shell_allowed", before.shell_allowed) != before.shell_allowed:
            _require_right_to_grant(principal)
        after = await update_project(
            transaction, before.id, {**columns, "version": before.version + 1}
        )
        await note_audit(
            transaction,
            principal,
            "projectUpdate",
            Subject.PROJECT,
            [(after.id, f"Changed the project {after.key}")],
            changes=changes,
        )
    return after


def _require_right_to_grant(principal: Principal) -> None:
    """A shell reaches whatever its user can reach on the worker's machine."""
    if not principal.governs:
        raise Forbidden(
            "Only the instance's administrator gives a project the right to shell lines, and "
            "takes it away.",
            path=("shellAllowed",),
        )


def _read(request: ProjectRequest) -> dict[str, Any]:
    """Return the columns of a request, or raise everything that is wrong with it."""
    complaints = Complaints()
    columns: dict[str, Any] = {"name": request.name}
    with complaints.under():
        check_key(request.key)
    with complaints.under():
        check_name(request.name)
    if is_given(request.defaults):
        with complaints.under("defaults"):
            given = {} if request.defaults is None else request.defaults
            columns["defaults"] = check_project_defaults(given)
    if is_given(request.retention):
        with complaints.under("retention"):
            columns["retention_seconds"] = _read_retention(request.retention)
    if is_given(request.shell_allowed):
        columns["shell_allowed"] = bool(request.shell_allowed)
    complaints.raise_if_any()
    return columns


def _read_retention(retention: timedelta | None) -> int:
    retention = DEFAULT_RETENTION if retention is None else retention
    if not _SHORTEST_RETENTION <= retention <= _LONGEST_RETENTION:
        raise Invalid("Finished runs are kept for between an hour (PT1H) and ten years (P3650D).")
    return _seconds(retention)


def _seconds(length: timedelta) -> int:
    return round(length.total_seconds())
