"""The routes every OpenAI-compatible server has, with their errors."""

import logging
from collections.abc import Callable, Collection, Coroutine
from typing import TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ExceptionHandler

from ._json import JsonObject
from .errors import WireError
from .requests import ChatRequest, parse_chat_request
from .streams import until_disconnected

Answer: TypeAlias = Callable[[ChatRequest, Request], Coroutine[object, object, Response]]
MAX_BODY_BYTES = 16 * 2**20

_logger = logging.getLogger(__name__)


def chat_app(models: Collection[str], answer: Answer) -> Starlette:
    """An app with `/v1/models` and `/v1/chat/completions`.

    Args:
        models: The names served; read on every request, so the collection may change.
        answer: Gives the response to a valid request for one of them, or raises `WireError`;
            cancelled when the client leaves.
    """

    async def list_models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_card(name) for name in models]})

    async def one_model(request: Request) -> Response:
        return JSONResponse(_card(_known(request.path_params["name"], models)))

    async def completions(request: Request) -> Response:
        chat = parse_chat_request(await _body(request))
        _known(chat.model, models)
        response = await until_disconnected(request.receive, answer(chat, request))
        return response or _nobody()

    routes = [
        Route("/v1/models", list_models),
        Route("/v1/models/{name:path}", one_model),
        Route("/v1/chat/completions", completions, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers=_HANDLERS)


def _card(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 0, "owned_by": "cascade"}


def _known(name: str, models: Collection[str]) -> str:
    if name in models:
        return name
    raise WireError(
        f"The model `{name}` does not exist; there is {', '.join(sorted(models)) or 'none'}.",
        status=404,
        param="model",
        code="model_not_found",
    )


async def _body(request: Request) -> bytes:
    """The body, refused before it can fill the memory."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise WireError(f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413)
    return bytes(body)


async def _wire_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, WireError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    return WireError(f"{error.detail}: {where}", status=error.status_code).response()


async def _client_left(_: Request, __: Exception) -> Response:
    return _nobody()


def _nobody() -> Response:
    return Response(status_code=499)  # The client has left: nobody reads it.


async def _our_error(_: Request, error: Exception) -> Response:
    _logger.error("The server failed on a request.", exc_info=error)
    text = f"The server failed: {type(error).__name__}: {error}"
    # Starlette raises the error again after this, on which uvicorn closes the connection: say so,
    # or the client sends its next request into the closing.
    headers = {"connection": "close"}
    return WireError(text, status=500, type="server_error", headers=headers).response()


_HANDLERS: dict[object, ExceptionHandler] = {
    WireError: _wire_error,
    HTTPException: _http_error,
    ClientDisconnect: _client_left,
    Exception: _our_error,
}
