"""Lets the doctest collector import the benchmarks, which import each other as scripts do."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
