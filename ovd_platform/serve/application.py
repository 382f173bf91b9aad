"""The application of one workspace: addresses, guards, errors, the built page.

Belongs here: putting these together. Does not belong here: listening (`server`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Scope

from ovd_platform import __version__
from ovd_platform.flow.workspace import Workspace
from ovd_platform.serve import export_routes, scene_routes, search_routes
from ovd_platform.serve.guards import Access, Guard
from ovd_platform.serve.problems import install_handlers
from ovd_platform.serve.state import Serving

PAGE = Path(__file__).parent / "page" / "dist"
_ABOUT = "Search a workspace of satellite scenes by words and by example. Errors are `{error, message}`; a message ends with its remedy."


def make_app(ws: Workspace, access: Access | None = None, *, warm_up: bool = True) -> Any:
    """The ASGI application of a workspace.

    Args:
        ws: The workspace.
        access: Who may ask; loopback without a token by default.
        warm_up: Load models in the background when it starts.

    Returns:
        The application behind its guard. The state is at ``app.state.serving`` of the inner application.
    """
    held = Serving(ws)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if warm_up:
            Thread(target=held.warm_up, daemon=True, name="warm-up").start()
        yield
        held.close()

    app = FastAPI(
        title="ovd search", version=__version__, description=_ABOUT, lifespan=life, openapi_url="/api/openapi.json",
        docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.serving = held
    install_handlers(app)
    for module in (search_routes, scene_routes, export_routes):
        app.include_router(module.router)

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> Response:
        return FileResponse(PAGE / "api.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", _Page(directory=PAGE, html=True, check_dir=False))
    app.add_middleware(GZipMiddleware, minimum_size=2048, compresslevel=5)
    app.add_middleware(Guard, access=access or Access())
    return app


class _Page(StaticFiles):
    """The built page: hashed assets are kept by the browser, the rest is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        lasting = path.startswith("assets/")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if lasting else "no-cache"
        return response
