"""The schema: every field of every area, put together."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.schema.errors import (
    GenericError,
    NotFoundError,
    StateConflictError,
    ValidationError,
    VersionConflictError,
)
from app.schema.executing import TickwheelSchema
from app.schema.inputs.reading import read_inputs_quickly
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


def build_schema() -> TickwheelSchema:
    """Return the schema."""
    schema = TickwheelSchema(
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
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    read_inputs_quickly(schema)
    return schema


def print_schema() -> str:
    """Return the schema as text: what `schema.graphql` holds."""
    return build_schema().as_str() + "\n"
