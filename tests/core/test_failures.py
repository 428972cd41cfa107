"""Whose fault an error is: the real classes of the clients, and what only looks like theirs."""

import json
import socket
import ssl

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
    ssl.SSLError("certificate"),
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
