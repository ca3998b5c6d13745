"""How many threads the measures' matrix products take."""

from contextlib import AbstractContextManager
from typing import Any

from threadpoolctl import threadpool_limits


def one_blas_thread() -> AbstractContextManager[Any]:
    """BLAS in one thread for a while: its products are small here, several run at once, and on a busy machine threads
    that wait for each other made VIF twenty times slower. Not for use in several threads at once: it is process-wide.
    """
    limited: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limited
