"""What importing the adapter loads, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import langchain_cascade

HEAVY = [
    "genai_prices",
    "langgraph",
    "llama_index",
    "llamaindex_cascade",
    "plotly",
    "polars",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "tiktoken",
    "torch",
]


def test_importing_the_adapter_loads_nothing_heavy() -> None:
    code = "import sys, langchain_cascade; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    path = [entry for entry in sys.path if entry]
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(found.stdout.split()).isdisjoint(HEAVY)


def test_the_public_names_are_sorted_and_there() -> None:
    assert langchain_cascade.__all__ == sorted(langchain_cascade.__all__)
    for name in langchain_cascade.__all__:
        assert hasattr(langchain_cascade, name)
