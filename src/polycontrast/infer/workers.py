"""Independent pieces of work on the cores of a CPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")


def each_alone(work: Callable[[T], R], pieces: Sequence[T]) -> list[R]:
    """The results for the pieces, in order: as many at a time as torch has threads, each computed by one thread.

    That is, OpenMP's: a product of MKL's in a worker has as many as a call of `torch.set_num_threads` gave the process.
    (The same call in the workers would change the process, too.)
    """
    libraries = ThreadpoolController()

    def alone() -> None:
        torch.get_num_threads()  # at its first question torch settles a thread's number, and would lift the limit
        libraries.limit(limits=1, user_api="openmp")

    with ThreadPoolExecutor(max(1, min(torch.get_num_threads(), len(pieces))), initializer=alone) as pool:
        return list(pool.map(work, pieces))
