"""The schema: every field of every area, put together.

Documents are parsed and validated once and remembered; a document that is too big is refused
before either. What goes wrong is logged where it is masked, in `errors`.
"""

from typing import Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLObjectType,
    Undefined,
)
from strawberry.extensions import ParserCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from app.schema.errors import (
    GenericError,
    NotFoundError,
    StateConflictError,
    ValidationError,
    VersionConflictError,
)
from app.schema.limits import CheckedDocument
from app.schema.operations.audit import AuditQueries
from app.schema.operations.backfills import BackfillMutations, BackfillQueries
from app.schema.operations.bulk import BulkMutations
from app.schema.operations.calendars import CalendarMutations, CalendarQueries
from app.schema.operations.chains import ChainMutations, ChainQueries
from app.schema.operations.control import ControlMutations
from app.schema.operations.endpoints import EndpointMutations, EndpointQueries
from app.schema.operations.health import HealthMutations, HealthQueries
from app.schema.operations.instance import InstanceQueries
from app.schema.operations.jobs import JobMutations, JobQueries
from app.schema.operations.nodes import NodeQueries
from app.schema.operations.notifications import NotificationMutations, NotificationQueries
from app.schema.operations.previews import PreviewQueries
from app.schema.operations.projects import ProjectMutations, ProjectQueries
from app.schema.operations.run_control import RunMutations
from app.schema.operations.runs import RunQueries
from app.schema.operations.schedules import ScheduleMutations, ScheduleQueries
from app.schema.operations.secrets import SecretMutations, SecretQueries
from app.schema.operations.streams import Streams
from app.schema.operations.templates import TemplateMutations, TemplateQueries
from app.schema.operations.tokens import TokenMutations, TokenQueries
from app.schema.scalars import SCALARS

_CACHED_DOCUMENTS = 1_000


@strawberry.type(description="Everything that can be read.")
class Query(
    NodeQueries,
    JobQueries,
    ScheduleQueries,
    PreviewQueries,
    CalendarQueries,
    SecretQueries,
    EndpointQueries,
    ChainQueries,
    TemplateQueries,
    NotificationQueries,
    RunQueries,
    BackfillQueries,
    InstanceQueries,
    ProjectQueries,
    HealthQueries,
    TokenQueries,
    AuditQueries,
):
    """The reads."""


@strawberry.type(description="Everything that can be done. Expected failures are data.")
class Mutation(
    JobMutations,
    ScheduleMutations,
    CalendarMutations,
    RunMutations,
    BulkMutations,
    ControlMutations,
    ProjectMutations,
    HealthMutations,
    TokenMutations,
    SecretMutations,
    BackfillMutations,
    EndpointMutations,
    ChainMutations,
    TemplateMutations,
    NotificationMutations,
):
    """The writes."""


@strawberry.type(description="Everything that can be watched.")
class Subscription(Streams):
    """The streams."""


class TickwheelSchema(strawberry.Schema):
    """A schema that leaves logging to the place that masks.

    An argument that may be left out has no default to be shown: Strawberry would print `= null`,
    which says the same, but a client would send it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for type_ in self._schema.type_map.values():
            _drop_null_defaults(type_)

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing here."""


def _drop_null_defaults(type_: GraphQLNamedType) -> None:
    optional: list[GraphQLArgument | GraphQLInputField] = []
    if isinstance(type_, GraphQLInputObjectType):
        optional.extend(type_.fields.values())
    elif isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
        optional.extend(arg for field in type_.fields.values() for arg in field.args.values())
    for each in optional:
        if each.default_value is None:
            each.default_value = Undefined


def build_schema() -> TickwheelSchema:
    """Return the schema."""
    return TickwheelSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[
            ValidationError,
            NotFoundError,
            VersionConflictError,
            StateConflictError,
            GenericError,
        ],
        extensions=[
            lambda: ParserCache(maxsize=_CACHED_DOCUMENTS),
            lambda: CheckedDocument(maxsize=_CACHED_DOCUMENTS),
        ],
        config=StrawberryConfig(scalar_map=SCALARS),
    )


def print_schema() -> str:
    """Return the schema as text: what `schema.graphql` holds."""
    return build_schema().as_str() + "\n"
