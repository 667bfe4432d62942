"""Build the web application: GraphQL over HTTP and WebSocket, the explorer, health and metrics.

Connections open when the server starts the application and close when it stops; nothing is a
global. Beside the routes it listens for changes and watches over the instance. `/livez` says that
the process answers, `/readyz` that it can do its work, `/healthz` what is wrong; none of them asks
who wants to know. `/metrics` does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from app.broker.permits import PermitStore
from app.config import Settings
from app.core.errors import TickwheelError
from app.handlers.task_modules import check_signatures, load_modules
from app.metrics import CONTENT_TYPE_LATEST, ApiMetrics
from app.runtime import Runtime, open_runtime
from app.schema import sessions
from app.schema.errors import AWAY_MESSAGE
from app.schema.explorer import explorer_page, explorer_routes
from app.schema.groups import Groups
from app.schema.http import GraphQLEndpoint
from app.schema.schema import build_schema
from app.schema.server_events import EventStreams
from app.schema.sockets import SocketView
from app.schema.visits import Visits
from app.services import own_functions
from app.services.access import Credentials, Doorkeeper, Unauthenticated
from app.services.health.showing import read_families
from app.services.health.watchdog import Watchdog
from app.services.live.hub import FeedHub
from app.services.notifications.notifier import Notifier
from app.services.rates import RateLimits, Rates
from app.services.single_sign_on import Grant, Provider, SingleSignOn
from app.services.status import StatusReader
from app.store.migrate import is_current
from app.store.outages import is_away

GRAPHQL_PATH = "/graphql"
_CHECK_SECONDS = 5.0
_log = structlog.get_logger(__name__)


def build_application(settings: Settings) -> Starlette:
    """Return the application."""
    application = _Application(settings)
    return _Served(application)


class _Served(Starlette):
    """Sends what is posted to GraphQL past the router: that alone costs more than some answers."""

    def __init__(self, application: "_Application") -> None:
        super().__init__(routes=application.routes(), lifespan=application.lifespan)
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one socket."""
        is_posted = scope["type"] == "http" and scope["method"] == "POST"
        if is_posted and scope["path"] == GRAPHQL_PATH:
            await self._application.serve_graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class _Application:
    """What the routes share while the application runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._schema = build_schema()
        if settings.persisted_documents is not None:
            self._schema.persist(settings.persisted_documents, only=settings.persisted_only)
        self._metrics = ApiMetrics()
        self._migrated = False
        self._runtime: Runtime
        self._doorkeeper: Doorkeeper
        self._endpoint: GraphQLEndpoint
        self._sockets: SocketView
        self._hub: FeedHub
        self._status: StatusReader
        self._notifier: Notifier
        self._watchdog: Watchdog

    def routes(self) -> list[BaseRoute]:
        """Return every route."""
        routes: list[BaseRoute] = [
            Route(GRAPHQL_PATH, self._graphql, methods=["GET", "POST"]),
            WebSocketRoute(GRAPHQL_PATH, self._socket),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/livez", self._live),
            Route("/readyz", self._ready),
            Route("/healthz", self._health),
            Route("/metrics", self._metrics_page),
        ]
        return routes + (explorer_routes() if self._settings.graphiql else [])

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Open what the routes need; listen and watch until the server stops."""
        # The schemas of jobs come from the functions, so this process must know them, too.
        load_modules((own_functions.__name__, *self._settings.tasks))
        check_signatures()
        async with open_runtime(self._settings) as runtime:
            self._open(runtime)
            tasks = [
                asyncio.create_task(loop)
                for loop in (self._hub.run(), self._watchdog.run(), self._notifier.run())
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._hub = FeedHub(runtime)
        self._status = StatusReader(runtime)
        self._notifier = Notifier(runtime)
        self._watchdog = Watchdog(runtime)
        self._doorkeeper = Doorkeeper(
            runtime,
            admin_token=self._settings.admin_token or None,
            sign_on=_sign_on(self._settings),
        )
        rates = Rates(
            PermitStore(runtime.redis, prefix=self._settings.redis_prefix),
            _rate_limits(self._settings),
        )
        visits = Visits(self._doorkeeper, self._hub)
        groups = Groups(
            self._schema,
            runtime,
            self._hub,
            self._status,
            most_subscriptions=self._settings.subscriptions_per_caller,
        )
        self._endpoint = GraphQLEndpoint(
            self._schema,
            runtime,
            self._hub,
            self._status,
            self._doorkeeper,
            self._metrics,
            rates,
            EventStreams(groups, visits),
            explorer=explorer_page if self._settings.graphiql else None,
        )
        self._sockets = SocketView(
            self._schema,
            groups=groups,
            doorkeeper=self._doorkeeper,
            visits=visits,
            metrics=self._metrics,
            rates=rates,
        )
        self._metrics.subscribers.set_function(lambda: self._hub.subscribers)

    async def serve_graphql(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is posted."""
        await self._endpoint.serve(scope, receive, send)

    async def _graphql(self, request: Request) -> Response:
        return await self._endpoint(request)

    async def _socket(self, websocket: WebSocket) -> None:
        await self._sockets(websocket.scope, websocket.receive, websocket.send)

    async def _login(self, request: Request) -> Response:
        return await sessions.log_in(self._runtime, request)

    async def _logout(self, request: Request) -> Response:
        return await sessions.log_out(self._runtime, request)

    async def _live(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _: Request) -> Response:
        problem = await self._database_problem()
        if problem is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{problem}\n", status_code=503)

    async def _health(self, _: Request) -> Response:
        """Answer 503 only when this process cannot work: others' troubles are told, not shared."""
        database = await self._database_problem()
        redis = await self._redis_problem()
        problems = [] if database else await self._scheduler_problems()
        checks = {"database": database, "redis": redis}
        body = {
            "status": "down" if database else "degraded" if redis or problems else "ok",
            "checks": {name: problem or "ok" for name, problem in checks.items()},
            "problems": problems,
        }
        return JSONResponse(body, status_code=503 if database else 200)

    async def _database_problem(self) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                if not self._migrated:
                    self._migrated = await is_current(self._settings.database_url)
                else:
                    async with self._runtime.database.reading(None) as connection:
                        await connection.connection()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("health.database_away", error=str(error))
            return "The database cannot be reached."
        return None if self._migrated else "The tables are not at this version: migrate first."

    async def _redis_problem(self) -> str | None:
        try:
            await self._runtime.redis.ping()
        except (RedisError, OSError, TimeoutError):
            return "Redis cannot be reached: everything works, a little later."
        return None

    async def _scheduler_problems(self) -> list[str]:
        return (await self._status.read()).problems

    async def _metrics_page(self, request: Request) -> Response:
        try:
            await self._doorkeeper.identify(Credentials(request.headers.get("authorization")))
            await self._show_instance()
        except (Unauthenticated, TickwheelError) as error:
            headers = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse(f"{error}\n", status_code=401, headers=headers)
        except Exception as error:
            if not is_away(error):
                raise
            return PlainTextResponse(f"{AWAY_MESSAGE}\n", status_code=503)
        return Response(self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

    async def _show_instance(self) -> None:
        status = await self._status.read()
        async with self._runtime.database.reading(None) as connection:
            self._metrics.instance.families = await read_families(
                connection,
                status,
                clock_offset=self._watchdog.clock_offset,
                most_schedules=self._settings.metrics_schedules,
            )


def _rate_limits(settings: Settings) -> RateLimits:
    return RateLimits(
        requests=settings.rate_requests,
        mutations=settings.rate_mutations,
        burst=settings.rate_burst,
        strangers=settings.rate_strangers,
        is_open_without_redis=settings.rate_without_redis == "open",
    )


def _sign_on(settings: Settings) -> SingleSignOn | None:
    """Return what checks the tokens of the identity provider, if the settings name one."""
    if not settings.jwt_issuer:
        return None
    return SingleSignOn(
        Provider(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            jwks_url=settings.jwt_jwks_url or None,
            algorithms=settings.jwt_algorithms,
            groups_claim=settings.jwt_groups_claim,
            grants=tuple(Grant.parse(text) for text in settings.jwt_grants),
        )
    )
