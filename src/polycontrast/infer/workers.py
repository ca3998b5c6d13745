"""Independent pieces of work on the cores of a CPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

T = TypeVar("T")
R = TypeVar("R")


def each_alone(work: Callable[[T], R], pieces: Sequence[T]) -> list[R]:
    """The results for the pieces, in order: as many at a time as torch has threads, each computed by one.

    Results do not depend on the number of threads, and no thread waits for another.
    """
    with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(pieces))), initializer=_alone) as pool:
        return list(pool.map(work, pieces))


def _alone() -> None:
    """From now on this thread computes without the help of others. `torch.set_num_threads` would change the process."""
    torch.get_num_threads()  # at its first question torch settles a thread's number, and would lift the limit
    threadpool_limits(1, user_api="openmp")
