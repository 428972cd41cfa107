"""Which errors are a model's failure, so that the next model takes over.

An allow-list, never every exception: a token budget that is spent, an interrupt of an agent or a
bug of the caller must surface, and must not buy a dearer model.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from types import FrameType
from typing import cast

from cascade_core.errors import AllModelsFailed, CascadeAbstained

# The base classes of the providers' own errors, by the top module and the name of the class, so
# that no provider's package need be imported to recognise them.
_PROVIDER_ERRORS = frozenset(
    {
        ("aiohttp", "ClientError"),
        ("anthropic", "AnthropicError"),
        ("botocore", "BotoCoreError"),
        ("botocore", "ClientError"),
        ("cohere", "ApiError"),
        ("google", "APIError"),
        ("google", "GoogleAPIError"),
        ("groq", "GroqError"),
        ("grpc", "RpcError"),
        ("OpenSSL", "Error"),
        ("asyncio", "IncompleteReadError"),
        ("http", "BadStatusLine"),
        ("http", "IncompleteRead"),
        ("httpcore", "NetworkError"),
        ("httpcore", "RemoteProtocolError"),
        ("httpcore", "TimeoutException"),
        ("httpx", "HTTPError"),
        ("httpx", "StreamError"),
        ("httpx2", "HTTPError"),
        ("httpx2", "StreamError"),
        ("huggingface_hub", "HfHubHTTPError"),
        ("langchain_core", "ModelRefusalError"),
        ("litellm", "APIError"),
        ("mistralai", "MistralError"),
        ("mistralai", "SDKError"),
        ("ollama", "ResponseError"),
        ("openai", "OpenAIError"),
        ("requests", "RequestException"),
        ("socket", "gaierror"),
        ("socket", "herror"),
        ("ssl", "SSLError"),
        ("together", "TogetherException"),
        ("urllib", "URLError"),
        ("urllib3", "HTTPError"),
    }
)

# A body that is no JSON comes out of the clients as a JSONDecodeError. A cascade may be an arm of
# another one: that it failed or abstained is a reason to ask the next, whatever its own allow-list.
_OTHER_ERRORS = (
    ConnectionError,
    TimeoutError,
    json.JSONDecodeError,
    AllModelsFailed,
    CascadeAbstained,
)

# What the operating system says of a network, and not of a file, where Python has no class for it.
_NETWORK_ERRNOS = frozenset(
    {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH}
)

# Thin integrations raise these bare for a failed request. Only the very class counts: a budget's or
# an interrupt's own exception is a subclass, and surfaces.
_BARE_ERRORS = (Exception, RuntimeError)

# Errors of a connection that was never made, and errors between a request that was sent and the end
# of its reply; those of the connection count where they are a cause of the other kind.
_NEVER_SENT = frozenset(
    {
        ("aiohttp", "ClientConnectorError"),
        ("aiohttp", "ConnectionTimeoutError"),
        ("botocore", "ConnectTimeoutError"),
        ("builtins", "ConnectionRefusedError"),
        ("httpcore", "ConnectError"),
        ("httpcore", "ConnectTimeout"),
        ("httpcore", "PoolTimeout"),
        ("httpx", "ConnectError"),
        ("httpx", "ConnectTimeout"),
        ("httpx", "PoolTimeout"),
        ("requests", "ConnectTimeout"),
        ("socket", "gaierror"),
        ("urllib3", "ConnectTimeoutError"),
        ("urllib3", "NewConnectionError"),
    }
)
_WITHOUT_A_WHOLE_REPLY = frozenset(
    {
        ("aiohttp", "ClientPayloadError"),
        ("aiohttp", "ServerDisconnectedError"),
        ("anthropic", "APITimeoutError"),
        ("botocore", "ReadTimeoutError"),
        ("builtins", "TimeoutError"),
        ("http", "IncompleteRead"),
        ("http", "RemoteDisconnected"),
        ("httpcore", "ReadError"),
        ("httpcore", "ReadTimeout"),
        ("httpcore", "RemoteProtocolError"),
        ("httpx", "ReadError"),
        ("httpx", "ReadTimeout"),
        ("httpx", "RemoteProtocolError"),
        ("litellm", "Timeout"),
        ("openai", "APITimeoutError"),
        ("requests", "ChunkedEncodingError"),
        ("requests", "ReadTimeout"),
        ("urllib3", "IncompleteRead"),
        ("urllib3", "ReadTimeoutError"),
    }
)


def is_model_failure(error: Exception) -> bool:
    """Return True if ``error`` is a provider's, the transport's or a time-out's.

    Examples:
        >>> is_model_failure(TimeoutError()), is_model_failure(ValueError("token budget exceeded"))
        (True, False)
    """
    if isinstance(error, _OTHER_ERRORS) or type(error) in _BARE_ERRORS:
        return True
    if type(error) is OSError and error.errno in _NETWORK_ERRNOS:
        return True
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return all(is_model_failure(cause) for cause in group.exceptions)
    return any(
        (cls.__module__.partition(".")[0], cls.__name__) in _PROVIDER_ERRORS
        for cls in type(error).__mro__
    )


def birthplace(error: Exception) -> FrameType | None:
    """Return the frame in which ``error`` was raised; None if it never was."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame


def raised_inside(error: Exception, package: str) -> bool:
    """Tell whether the code that raised ``error`` belongs to ``package`` or a part of it.

    An integration that trips over a malformed reply raises a bare ``IndexError``; only its place of
    birth tells it from a bug of the caller.

    Examples:
        >>> try:
        ...     json.loads("{")
        ... except ValueError as error:
        ...     raised_inside(error, "json"), raised_inside(error, "js")
        (True, False)
    """
    frame = birthplace(error)
    module = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    return module == package or module.startswith(f"{package}.")


def may_be_billed(error: Exception) -> bool:
    """Tell whether a call that ended in ``error`` may have cost money all the same.

    True where the request was sent and the reply did not come, or not whole: the provider may have
    finished the answer that nobody waited for. Clients wrap the transport's error in their own, so
    the causes decide too. An error that the provider itself reports (4xx, 429, 500), and a
    connection that was never made, are not billed.

    Examples:
        >>> may_be_billed(TimeoutError()), may_be_billed(ConnectionRefusedError())
        (True, False)
    """
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return any(may_be_billed(cause) for cause in group.exceptions)
    kinds = {
        (cls.__module__.partition(".")[0], cls.__name__)
        for cause in _causes(error)
        for cls in type(cause).__mro__
    }
    return not kinds & _NEVER_SENT and bool(kinds & _WITHOUT_A_WHOLE_REPLY)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from, and so on, each once."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
