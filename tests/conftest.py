"""What many tests share: a tiny drawn cohort, its cached entries, one thread. Nothing here imports torch at once."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from polycontrast.data.cache import Entry

# Before torch is imported: tiny networks are slower on several threads, and bits depend on their number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four complete, segmented cases of 48 x 48 x 12 voxels of 5 mm."""
    from . import tiny

    folder = tmp_path_factory.mktemp("cohort")
    for number in range(4):
        tiny.draw_case(folder, f"Tiny_{number}", seed=number)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def entries(cohort: Path, cache: Path) -> "list[Entry]":
    """The cached cases of the cohort."""
    from polycontrast.data.cache import cached
    from polycontrast.io.layout import find_cases

    return cached(find_cases(cohort), ("T1", "T1ce", "T2", "FLAIR"), cache)
