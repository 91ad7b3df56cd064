"""A worker's web port: `/metrics`, `/healthz`, `/readyz`."""

from typing import Any

from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pipeline.runtime.engine.health import Health
from pipeline.runtime.observability.metrics import Metrics


class WebServer(Service):
    """Serves metrics and health.

    Parameters
    ----------
    health
        What is answered.
    metrics
        What is shown.
    host, port
        Where it listens; port 0 is a free one.
    """

    mundane_level = "debug"

    def __init__(self, health: Health, metrics: Metrics, *, host: str, port: int) -> None:
        super().__init__()
        self._health = health
        self._metrics = metrics
        self._host = host
        self._wanted_port = port
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        if self._runner is None:
            raise RuntimeError("the web server does not run")
        return int(self._runner.addresses[0][1])

    async def on_start(self) -> None:
        """Listen.

        Raises
        ------
        OSError
            When the port is taken or the address is not this machine's.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/healthz", self._show_alive)
        app.router.add_get("/readyz", self._show_ready)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._wanted_port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.log.info("metrics and health on http://%s:%d", self._host, self.port)

    async def on_stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        self._health.update_metrics()
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _show_alive(self, _request: web.Request) -> web.Response:
        return _answer(*self._health.alive())

    async def _show_ready(self, _request: web.Request) -> web.Response:
        return _answer(*self._health.ready())


def _answer(is_fine: bool, body: dict[str, Any]) -> web.Response:
    return web.json_response(body, status=200 if is_fine else 503)
