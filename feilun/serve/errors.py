"""Every failure leaves the server as OpenAI's error object: {"error": {"message", "type", "param", "code"}}."""

import http
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from feilun.serve.language import page_language, said

__all__ = ["ApiError", "error_body", "install_handlers"]

log = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 800
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "service_unavailable",
}


class ApiError(Exception):
    """A request that is refused: HTTP status, message for a person, `param` at fault and machine-readable `code`."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after_seconds: int | None = None
    ):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """`message` may quote what was sent, which may be long: it is cut, the end of what it says stays."""
    if len(message) > MAX_MESSAGE_CHARS:
        message = f"{message[: MAX_MESSAGE_CHARS // 2]} … {message[-MAX_MESSAGE_CHARS // 2 :]}"
    param = param and param[:MAX_MESSAGE_CHARS]
    return {"error": {"message": message, "type": TYPES.get(status, "invalid_request_error"), "param": param, "code": code}}


async def on_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    message = said(error.message, page_language(request))
    return JSONResponse(error_body(error.status, message, error.param, error.code), error.status, error.headers)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Unknown paths and methods, which the framework finds itself."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.scope["path"]
    messages = {404: f"there is nothing at {path}", 405: f"{method} is not allowed on {path}"}
    codes = {404: "unknown_url", 405: "method_not_allowed"}
    message = messages.get(error.status_code, str(error.detail or http.HTTPStatus(error.status_code).phrase))
    body = error_body(error.status_code, message, code=codes.get(error.status_code))
    return JSONResponse(body, error.status_code, _plain(error.headers))


async def on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse(error_body(400, f"{param}: {first['msg']}", param, "invalid_value"), 400)


async def on_crash(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    message = said("the server failed on this request; its log says why", page_language(request))
    return JSONResponse(error_body(500, message, code="internal_error"), 500)


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(Exception, on_crash)


def _plain(headers: Mapping[str, str] | None) -> dict[str, str]:
    return dict(headers or {})
