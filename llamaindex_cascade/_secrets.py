"""What of a model must not stand in a dictionary that people store, log and send around."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from pydantic import SecretBytes, SecretStr

T = TypeVar("T")

# Fields and headers by the end of their names: api_key, azure_ad_token, Authorization. Not every
# token is one to hide: max_tokens and eos_token are settings.
_NAME = re.compile(
    r"(^|[-_])((api|access|auth|subscription|private|secret)[-_]?keys?|key|secret|passw(or)?d|"
    r"(access|ad|api|auth|bearer|hf|id|refresh|security|session)[-_]?token|auth(orization)?|"
    r"credentials?|cookie|signature)$|^token$|^apikey$",
    re.IGNORECASE,
)
_VALUE = re.compile(r"^(Bearer|Basic) ", re.IGNORECASE)
# https://user:password@host
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")


def without_secrets(dumped: T) -> T:
    """Return a dumped model without its keys, passwords and the headers that carry them.

    They are left out and not masked: a model that is made again then looks for them where its class
    does, in the environment.

    Examples:
        >>> without_secrets({"model": "m", "api_key": "sk-1", "headers": {"X-Api-Key": "k"}})
        {'model': 'm', 'headers': {}}
    """
    return cast("T", _cleaned(dumped))


def _cleaned(value: object) -> object:
    if isinstance(value, Mapping):
        fields = cast("Mapping[object, object]", value)
        return {key: _cleaned(item) for key, item in fields.items() if not _is_secret(key, item)}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in cast("Sequence[object]", value)]
    return _USER_IN_ADDRESS.sub("", value) if isinstance(value, str) else value


def _is_secret(name: object, value: object) -> bool:
    if isinstance(value, SecretStr | SecretBytes):
        return True
    if isinstance(value, str) and _VALUE.match(value):
        return True
    return isinstance(name, str) and bool(_NAME.search(name)) and not isinstance(value, bool)
