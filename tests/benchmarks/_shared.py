"""The data to measure on: the folder ``shared`` beside the project, or $CASCADE_SHARED."""

from __future__ import annotations

import os
from pathlib import Path


def shared_file(*parts: str) -> Path | None:
    """Return a file of the folder; None where it is not there."""
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    path = Path(os.environ.get("CASCADE_SHARED", beside)).joinpath(*parts)
    return path if path.exists() else None
