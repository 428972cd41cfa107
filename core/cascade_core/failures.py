"""Which errors are a model's failure, so that the next model takes over.

An allow-list, never every exception: a token budget that is spent, an interrupt of an agent or a
bug of the caller must surface, and must not buy a dearer model.
"""

from __future__ import annotations

import json
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
        ("httpcore", "NetworkError"),
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
        ("ssl", "SSLError"),
        ("together", "TogetherException"),
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

# Thin integrations raise these bare for a failed request. Only the very class counts: a budget's or
# an interrupt's own exception is a subclass, and surfaces.
_BARE_ERRORS = (Exception, RuntimeError)


def is_model_failure(error: Exception) -> bool:
    """Return True if ``error`` is a provider's, the transport's or a time-out's.

    Examples:
        >>> is_model_failure(TimeoutError()), is_model_failure(ValueError("token budget exceeded"))
        (True, False)
    """
    if isinstance(error, _OTHER_ERRORS) or type(error) in _BARE_ERRORS:
        return True
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return all(is_model_failure(cause) for cause in group.exceptions)
    return any(
        (cls.__module__.partition(".")[0], cls.__name__) in _PROVIDER_ERRORS
        for cls in type(error).__mro__
    )


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
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__", ""))
    return module == package or module.startswith(f"{package}.")
