"""The worker's own small web server: is it alive, is it ready, what does it measure."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from app.core.errors import DependencyUnavailable
from app.metrics import CONTENT_TYPE_LATEST, EngineMetrics


@asynccontextmanager
async def serve_health(
    host: str, port: int, *, is_ready: Callable[[], Awaitable[bool]], metrics: EngineMetrics
) -> AsyncIterator[None]:
    """Serve `/livez`, `/readyz`, `/healthz` and `/metrics` during the block; port 0: nothing."""
    if port == 0:
        yield
        return

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        good = await is_ready()
        return web.json_response(
            {"status": "ok" if good else "unavailable"}, status=200 if good else 503
        )

    async def measures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes(
        [
            web.get("/livez", live),
            web.get("/readyz", ready),
            web.get("/healthz", ready),
            web.get("/metrics", measures),
        ]
    )
    server = web.AppRunner(application, access_log=None)
    await server.setup()
    try:
        try:
            await web.TCPSite(server, host, port).start()
        except OSError as error:
            raise DependencyUnavailable(
                f"The worker's health port {host}:{port} cannot be opened: {error.strerror}. "
                "Set TICKWHEEL_WORKER_PORT to a free one, or to 0 for none."
            ) from error
        yield
    finally:
        await server.cleanup()
