"""Every error as one JSON object, `{kind, message}`, with the status that fits it."""

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from flyball_gateway.asking import ForbiddenError
from flyball_gateway.incoming import BadReportError
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import LostRaceError

RETRY_S: Final = 2
STATUS: Final[Mapping[str, int]] = {
    "bad-code": 401,
    "forbidden": 403,
    "not-found": 404,
    "invalid": 422,
    "invalid-spec": 422,
    "too-many": 409,
    "unreadable": 502,
}
"""Kinds of refusal by status; every other one is 409: it conflicts with how things are."""

KINDS: Final[Mapping[int, str]] = {
    400: "invalid-request",
    401: "login-needed",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unknown-content-type",
}


class Problem(BaseModel):
    """Why something was not done."""

    kind: str = Field(description="Stable word.")
    message: str = Field(description="What was found, what would be valid, the next step.")


class ApiError(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.headers = dict(headers or {})


def answer(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The JSON object."""
    return JSONResponse({"kind": kind, "message": message}, status, dict(headers or {}))


def install(app: FastAPI) -> None:
    """Answer every error so."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(PermanentError, _permanent)
    app.add_exception_handler(TransientError, _transient)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - as registered
    return answer(error.status, error.kind, error.message, error.headers)


def _permanent(_: Request, error: Exception) -> Response:
    kind = error.kind if isinstance(error, PermanentError) else "refused"
    if isinstance(error, BadReportError):
        return answer(422, kind, str(error))
    return answer(
        403 if isinstance(error, ForbiddenError) else STATUS.get(kind, 409), kind, str(error)
    )


def _transient(_: Request, error: Exception) -> Response:
    if isinstance(error, LostRaceError):
        return answer(409, error.kind, f"{error}; read it again, then decide again")
    kind = error.kind if isinstance(error, TransientError) else "unavailable"
    return answer(503, kind, str(error), {"Retry-After": str(RETRY_S)})


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as registered
    found = [f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in error.errors()]
    content = request.headers.get("content-type", "none")
    if any(e["loc"] == ("body",) for e in error.errors()) and "json" not in content:
        found.append(f"found Content-Type {content}; valid: application/json")
    return answer(422, "invalid-request", "; ".join(found[:20]) + "; see /docs")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as registered
    kind = KINDS.get(error.status_code, "refused")
    found = f"{request.method} {request.url.path}: {str(error.detail).lower()}; see /docs"
    return answer(error.status_code, kind, found, error.headers)
