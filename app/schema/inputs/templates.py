"""Templates as input, and what they give to the schedules and jobs that are made from them.

The defaults of a template are the JSON of the inputs of the API, so that they are read and
refused as those are.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import strawberry
from graphql import GraphQLError, GraphQLInputType
from graphql.utilities import coerce_input_value, validate_input_value
from strawberry.scalars import JSON
from strawberry.types.arguments import convert_argument

from app.core.errors import Invalid, InvalidInput, NotFound, TickwheelError
from app.core.ids import Kind
from app.core.templates import JOB
from app.schema.context import Info
from app.schema.ids import from_id
from app.schema.inputs.jobs import JobCreateInput
from app.schema.inputs.schedules import ScheduleCreateInput, ScheduleFieldsInput
from app.services.absent import is_given
from app.services.jobs import JobRequest
from app.services.schedules.creating import ScheduleRequest
from app.services.templates import AnyTemplate, TemplateRequest, find_template, sample_of

Read = TypeVar("Read")
Fields = TypeVar("Fields")


@strawberry.input(description="What a template is to be; it is replaced whole.")
class TemplateInput:
    """A template."""

    key: str = strawberry.field(description="Which one; it is created if there is none.")
    name: str = strawberry.field(description="For people.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    parameters_schema: JSON | None = strawberry.field(
        default=None, description="JSON Schema of what is left open; each has a property there."
    )
    defaults: JSON = strawberry.field(
        description="The fields of a schedule as in `ScheduleFields`, and under `job` those of "
        '`JobCreateInput`, but for its key. What is left open says `{"parameter": "name"}`, or '
        "`{{ name }}` inside a text."
    )

    def read(self) -> TemplateRequest:
        """Return the service's form; the service checks it."""
        return TemplateRequest(
            self.key,
            self.name,
            self.description,
            cast(Any, self.parameters_schema),
            cast(Any, self.defaults),
        )


def check_defaults(info: Info, template: AnyTemplate) -> None:
    """Raise what is wrong with the defaults, as far as that can be known without parameters."""
    sample = sample_of(template)
    if sample is None:
        return
    try:
        _schedule_fields(info, sample).read()
        if JOB in sample:
            _job(info, sample, "sample").read()
    except TickwheelError as error:
        raise error.under("defaults") from None


async def schedule_request(info: Info, given: ScheduleCreateInput) -> ScheduleRequest:
    """Return what to create: what was given, over what its template says."""
    request = given.read()
    if given.template_id is None:
        _refuse_parameters_alone(given.template_parameters)
        return request
    defaults = await _filled(info, given.template_id, given.template_parameters)
    with_defaults = _schedule_fields(info, defaults).read()
    return replace(request, fields=_over(with_defaults, request.fields))


async def job_request(info: Info, given: JobCreateInput) -> JobRequest:
    """Return what to create: what was given, over what its template says."""
    request = given.read()
    if given.template_id is None:
        _refuse_parameters_alone(given.template_parameters)
        return request
    defaults = await _filled(info, given.template_id, given.template_parameters)
    if JOB not in defaults:
        raise Invalid("This template has no job.", path=("templateId",))
    template = _job(info, defaults, given.key).read()
    if template.kind is not request.kind:
        raise Invalid(f"The template's job is of the kind {template.kind}.", path=("kind",))
    config = {**_object(template.fields.config), **_object(request.fields.config)}
    merged = replace(_over(template.fields, request.fields), config=config)
    return replace(request, fields=merged)


async def _filled(info: Info, template_id: str, parameters: object) -> dict[str, Any]:
    if not isinstance(parameters, Mapping | None):
        raise Invalid("This must be an object.", path=("templateParameters",))
    id_ = from_id(Kind.TEMPLATE, template_id, "templateId")
    async with info.context.reading() as connection:
        template = await find_template(connection, info.context.principal, id_)
    if template is None:
        raise NotFound(
            "There is no such template in this project.", id=template_id, path=("templateId",)
        )
    return template.filled(parameters)


def _refuse_parameters_alone(parameters: object) -> None:
    if parameters is not None:
        raise Invalid("There is no template they could fill in.", path=("templateParameters",))


def _schedule_fields(info: Info, defaults: Mapping[str, Any]) -> ScheduleFieldsInput:
    own = {name: value for name, value in defaults.items() if name != JOB}
    return _from_json(info, ScheduleFieldsInput, "ScheduleFields", own)


def _job(info: Info, defaults: Mapping[str, Any], key: str) -> JobCreateInput:
    job = defaults[JOB]
    if not isinstance(job, Mapping):
        raise Invalid("This must be an object.", path=(JOB,))
    try:
        return _from_json(info, JobCreateInput, "JobCreateInput", {"config": {}, **job, "key": key})
    except InvalidInput as error:
        raise error.under(JOB) from None


def _from_json(info: Info, kind: type[Read], name: str, value: Mapping[str, Any]) -> Read:
    """Read JSON as the API would read it. Raises InvalidInput with a path for each problem."""
    problems: list[TickwheelError] = []

    def note(error: GraphQLError, path: list[str | int]) -> None:
        problems.append(Invalid(error.message, path=[str(part) for part in path]))

    type_ = cast(GraphQLInputType, info.schema._schema.type_map[name])
    validate_input_value(value, type_, note)
    if problems:
        raise InvalidInput(problems)
    read = convert_argument(
        coerce_input_value(value, type_),
        kind,
        scalar_registry=info.schema.schema_converter.scalar_registry,
        config=info.schema.config,
    )
    return cast(Read, read)


def _over(below: Fields, above: Fields) -> Fields:
    """Return fields of which those that are given above win."""
    said = {
        each.name: getattr(above, each.name)
        for each in fields(cast(Any, above))
        if is_given(getattr(above, each.name))
    }
    return cast(Fields, replace(cast(Any, below), **said))


def _object(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
