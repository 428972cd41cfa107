"""The type of a JSON object: the one place that says `Any`, since JSON is only known when read."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
