"""What importing an adapter adds to importing its framework: seconds, in pairs, same machine.

python tests/benchmarks/import_time.py [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

PAIRS = {
    "langchain_cascade": "langchain_core.language_models.chat_models",
    "llamaindex_cascade": "llama_index.core.llms.function_calling",
}
BAR_SECONDS = 0.2
ROUNDS = 7
CODE = """
import time
import {framework}
start = time.perf_counter()
import {package}
print(time.perf_counter() - start)
"""


def added_seconds(package: str, framework: str) -> list[float]:
    """Return what importing `package` takes once `framework` is there, round by round."""
    code = CODE.format(framework=framework, package=package)
    command = [sys.executable, "-c", code]
    return [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(ROUNDS)
    ]


def main() -> None:
    """Measure both adapters and print a row each."""
    rows = {}
    for package, framework in PAIRS.items():
        seconds = added_seconds(package, framework)
        rows[package] = {"min": min(seconds), "median": statistics.median(seconds)}
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print(f"{'package':<20} {'adds (min)':>12} {'median':>10} {'bar':>8}")
    for package, row in rows.items():
        line = f"{1000 * row['min']:>9.0f} ms {1000 * row['median']:>7.0f} ms"
        print(f"{package:<20} {line} {1000 * BAR_SECONDS:>5.0f} ms")


if __name__ == "__main__":
    main()
