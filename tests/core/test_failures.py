"""Whose fault an error is: the real classes of the clients, and what only looks like theirs."""

import asyncio
import errno
import http.client
import json
import socket
import ssl
import urllib.error

import httpcore
import httpx
import openai
import pytest
from langgraph.errors import GraphInterrupt, GraphRecursionError
from pydantic import BaseModel, ValidationError

from cascade_core import (
    AllModelsFailed,
    CascadeAbstained,
    InvalidConfiguration,
    MissingPrice,
    PolicyError,
    ValidatorError,
    is_model_failure,
)
from cascade_core.failures import birthplace, may_be_billed

REQUEST = httpx.Request("POST", "http://localhost/v1")


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=REQUEST)


def status_error(kind: type[openai.APIStatusError], status: int) -> openai.APIStatusError:
    return kind("no", response=response(status), body=None)


def bad_json() -> Exception:
    try:
        json.loads("{")
    except json.JSONDecodeError as error:
        return error
    raise AssertionError


def bad_model() -> Exception:
    class Model(BaseModel):
        x: int

    try:
        Model(x="no")  # type: ignore[arg-type]
    except ValidationError as error:
        return error
    raise AssertionError


class BudgetSpent(RuntimeError):
    pass


class Stopped(Exception):
    pass


class OwnTimeout(TimeoutError):
    pass


class OpenAIError(Exception):
    """Another's class of the same name."""


MODELS_FAULT: list[Exception] = [
    status_error(openai.RateLimitError, 429),
    status_error(openai.InternalServerError, 500),
    status_error(openai.AuthenticationError, 401),
    status_error(openai.BadRequestError, 400),
    openai.APITimeoutError(request=REQUEST),
    openai.APIConnectionError(request=REQUEST),
    openai.APIResponseValidationError(response=response(200), body=None),
    openai.OpenAIError("no key"),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("died in mid-stream"),
    httpx.HTTPStatusError("500", request=REQUEST, response=response(500)),
    httpx.StreamClosed(),
    ConnectionResetError(),
    BrokenPipeError(),
    TimeoutError(),
    OwnTimeout(),
    TimeoutError(),
    socket.gaierror(-2, "Name or service not known"),
    socket.herror(1, "Unknown host"),
    ssl.SSLError("certificate"),
    ssl.SSLCertVerificationError("self-signed"),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    http.client.IncompleteRead(b"half"),
    http.client.RemoteDisconnected("closed without response"),
    http.client.BadStatusLine("?"),
    asyncio.IncompleteReadError(b"half", 10),
    urllib.error.URLError("refused"),
    urllib.error.HTTPError("http://x", 503, "no", http.client.HTTPMessage(), None),
    httpcore.RemoteProtocolError("peer closed"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError(errno.EHOSTUNREACH, "No route to host"),
    bad_json(),
    Exception("thin integrations raise this bare"),
    RuntimeError("and this"),
    CascadeAbstained("an inner cascade"),
    AllModelsFailed("an inner cascade", [TimeoutError()]),
    AllModelsFailed("whose own list was longer than ours", [ValueError()]),
    AllModelsFailed("twice", [AllModelsFailed("inner", [httpx.ReadTimeout("x")])]),
    ExceptionGroup("both", [TimeoutError(), ConnectionError()]),
]
NOT_THE_MODELS: list[Exception] = [
    ValueError("token budget exceeded"),
    TypeError(),
    KeyError("x"),
    AttributeError(),
    AssertionError(),
    NotImplementedError(),
    RecursionError(),
    OSError("disk full"),
    OSError(errno.ENOSPC, "No space left on device"),
    EOFError(),
    http.client.CannotSendRequest(),
    http.client.InvalidURL(),
    PermissionError(),
    FileNotFoundError(),
    UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
    bad_model(),
    GraphInterrupt(()),
    GraphRecursionError(),
    BudgetSpent(),
    Stopped(),
    OpenAIError(),
    httpx.InvalidURL("http://"),
    ExceptionGroup("mixed", [TimeoutError(), ValueError()]),
    ExceptionGroup("deep", [ExceptionGroup("x", [TimeoutError(), KeyError()])]),
    ValidatorError(),
    PolicyError(),
    InvalidConfiguration(),
    MissingPrice(),
]


@pytest.mark.parametrize("error", MODELS_FAULT, ids=repr)
def test_the_models_fault(error: Exception) -> None:
    assert is_model_failure(error)


@pytest.mark.parametrize("error", NOT_THE_MODELS, ids=repr)
def test_not_the_models_fault(error: Exception) -> None:
    assert not is_model_failure(error)


def test_subclasses_of_a_clients_errors_are_its_errors() -> None:
    class Special(openai.RateLimitError):
        pass

    assert is_model_failure(status_error(Special, 429))


def raised_from(error: Exception, *causes: Exception) -> Exception:
    """Return ``error`` as clients raise it: from the transport's, from the socket's."""
    outer = error
    for cause in causes:
        outer.__cause__ = cause
        outer = cause
    return error


SENT: list[Exception] = [
    TimeoutError(),
    TimeoutError(),
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("died"),
    http.client.IncompleteRead(b"half"),
    http.client.RemoteDisconnected("closed without response"),
    openai.APITimeoutError(request=REQUEST),
    raised_from(openai.APITimeoutError(request=REQUEST), httpx.ReadTimeout("x"), TimeoutError()),
    raised_from(openai.APIConnectionError(request=REQUEST), httpx.RemoteProtocolError("died")),
    ExceptionGroup("two", [ConnectionRefusedError(), TimeoutError()]),
]
NOT_SENT_OR_REFUSED: list[Exception] = [
    ConnectionRefusedError(),
    ConnectionError(),
    socket.gaierror(-2, "Name or service not known"),
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.PoolTimeout("busy"),
    raised_from(openai.APITimeoutError(request=REQUEST), httpx.ConnectTimeout("x"), TimeoutError()),
    raised_from(openai.APIConnectionError(request=REQUEST), httpx.ConnectError("refused")),
    status_error(openai.RateLimitError, 429),
    status_error(openai.InternalServerError, 500),
    status_error(openai.BadRequestError, 400),
    httpx.HTTPStatusError("500", request=REQUEST, response=response(500)),
    RuntimeError("quota"),
]


@pytest.mark.parametrize("error", SENT, ids=repr)
def test_what_was_sent_and_not_answered_may_be_billed(error: Exception) -> None:
    assert may_be_billed(error)


@pytest.mark.parametrize("error", NOT_SENT_OR_REFUSED, ids=repr)
def test_what_never_got_there_or_was_refused_is_not_billed(error: Exception) -> None:
    assert not may_be_billed(error)


def test_an_error_that_is_its_own_cause_is_looked_at_once() -> None:
    error = ConnectionError()
    error.__cause__ = error
    assert not may_be_billed(error)


def test_the_birthplace_is_the_innermost_frame() -> None:
    def inner() -> None:
        raise ValueError

    try:
        inner()
    except ValueError as error:
        frame = birthplace(error)
    assert frame is not None and frame.f_code is inner.__code__
    assert birthplace(ValueError("never raised")) is None
