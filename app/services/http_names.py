"""Check what the templates of an HTTP job name against what will be there when it runs.

A name that is certainly missing is refused when the job or its schedule is saved; one that a
trigger may still give is left to the run, which is refused then.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from app.core.errors import Invalid
from app.core.vocabulary import JobKind
from app.handlers.needs import needs_of
from app.handlers.template_fields import NamedAt
from app.models import Job
from app.services.complaints import Complaints


def check_variables(
    names: Iterable[NamedAt], variables: Mapping[str, Any], complaints: Complaints
) -> None:
    """Note which variables of the endpoint are named and not there."""
    for at in names:
        name = at.name
        if name.root == "endpoint" and not name.is_optional and name.member not in variables:
            known = ", ".join(sorted(variables)) or "none"
            complaints.add(
                Invalid(
                    f"The endpoint has no variable {name.member!r}; it has {known}.", path=at.path
                )
            )


def check_no_variables(names: Iterable[NamedAt], complaints: Complaints) -> None:
    """Note the variables that are named without an endpoint."""
    for at in names:
        if at.name.root == "endpoint" and not at.name.is_optional:
            complaints.add(
                Invalid("Only a job with a connection has an endpoint's variables.", path=at.path)
            )


def check_parameters_named(
    names: Iterable[NamedAt],
    parameters: Mapping[str, Any],
    schema: Mapping[str, Any] | None,
    complaints: Complaints,
) -> None:
    """Note which parameters are named that the job's schema lets nobody give."""
    if schema is None or schema.get("additionalProperties") is not False:
        return
    allowed = {*schema.get("properties", {}), *parameters}
    if "patternProperties" in schema:
        return
    for at in names:
        name = at.name
        if name.root == "parameters" and name.member is not None and name.member not in allowed:
            complaints.add(
                Invalid(
                    f"The job's parametersSchema knows no parameter {name.member!r}.", path=at.path
                )
            )


def check_parameters_given(job: Job, parameters: Mapping[str, Any]) -> None:
    """Raise `Invalid` when a job's templates name a parameter that is not among these."""
    if job.kind is not JobKind.HTTP:
        return
    for name, where in needs_of(job.kind, job.config).parameters.items():
        if name not in parameters:
            raise Invalid(
                f"The job uses the parameter {name!r} (in {'.'.join(where)}): give it here or in "
                "the job.",
                path=("parameters",),
            )
