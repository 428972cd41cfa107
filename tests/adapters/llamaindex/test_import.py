"""Importing the adapter adds little to LlamaIndex, and nothing of what only fitting needs."""

from __future__ import annotations

import subprocess
import sys

FOREIGN = (
    "genai_prices",
    "langchain",
    "langchain_cascade",
    "langchain_core",
    "langchain_openai",
    "plotly",
    "polars",
    "sklearn",
    "sqlalchemy",
    "tiktoken",
    "torch",
)
CODE = f"""
import sys, time
import llama_index.core
before = set(sys.modules)
start = time.perf_counter()
import llamaindex_cascade
seconds = time.perf_counter() - start
added = set(sys.modules) - before
print(seconds, sorted(m for m in {FOREIGN!r} if m in added))
"""


def test_what_importing_adds() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
        ).stdout.split(" ", 1)
        for _ in range(2)
    ]
    assert {modules.strip() for _, modules in runs} == {"[]"}
    # A loose bound for busy machines; the figure itself is in the benchmark's report.
    assert min(float(seconds) for seconds, _ in runs) < 1.0
