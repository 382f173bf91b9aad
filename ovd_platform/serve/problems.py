"""Errors as JSON: the tree of `ovd_platform.errors` with the status each kind has over HTTP.

Belongs here: names, statuses, wording. Does not belong here: deciding what is an error.
"""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ovd_platform.errors import DataError, InputError, OvdError, ResourceError, StaleError, UnknownNameError

logger = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[OvdError], int], ...] = (
    (UnknownNameError, 404),
    (InputError, 400),
    (DataError, 422),
    (StaleError, 409),
    (ResourceError, 503),
)


class TooLargeError(InputError):
    """A request body exceeds what the address takes."""


class NotAllowedError(InputError):
    """A request without the token, from another origin, or under another host name."""


def problem(status: int, kind: str, message: str) -> JSONResponse:
    """The JSON form of an error: ``{"error": kind, "message": sentence}``."""
    headers = {"Cache-Control": "no-store", **({"Retry-After": "1"} if status == 503 else {})}
    return JSONResponse({"error": kind, "message": message}, status_code=status, headers=headers)


def status_of(error: OvdError) -> int:
    """HTTP status of an error of the platform."""
    if isinstance(error, TooLargeError):
        return 413
    if isinstance(error, NotAllowedError):
        return 403
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install_handlers(app: FastAPI) -> None:
    """Make every failure of an application an answer in this form."""

    @app.exception_handler(OvdError)
    def _ours(_: Request, error: OvdError) -> JSONResponse:
        return problem(status_of(error), type(error).__name__, str(error))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, "InputError", f"Cannot {request.method} {request.url.path}: {described(error.errors())}")

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        message = (
            f"Cannot {request.method} {request.url.path}: expected an address of the API, got {error.detail}. See /api/docs."
        )
        return problem(error.status_code, "UnknownNameError" if error.status_code == 404 else "InputError", message)

    @app.exception_handler(Exception)
    def _bug(request: Request, error: Exception) -> JSONResponse:
        logger.exception("%s %s", request.method, request.url.path)
        message = (
            f"Cannot {request.method} {request.url.path}: expected an answer, got {type(error).__name__}. See the server's log."
        )
        return problem(500, "OvdError", message)


def described(errors: Any) -> str:
    """What validation found, as one sentence with a remedy."""
    parts = []
    for one in list(errors)[:4]:
        place = ".".join(str(part) for part in one["loc"] if part not in ("body", "query", "path")) or "the body"
        parts.append(f"{place}: {one['msg'].lower()}")
    return f"expected the fields of /api/docs, got {'; '.join(parts)}. Correct the request."
