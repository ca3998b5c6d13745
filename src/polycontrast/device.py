"""Where to compute: auto falls back, an explicit wish that cannot be met is an error. And the memory allocator."""

import ctypes
import os
import sys

import torch

from polycontrast.errors import UserError

_KINDS = ("cpu", "cuda", "mps")  # torch names more, but some compute nothing and none is tried
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def choose(wish: str) -> torch.device:
    """auto | cpu | cuda[:N] | mps -> a device that is there. Under torchrun `cuda` is each rank's own."""
    local = os.environ.get("LOCAL_RANK")
    if local is not None and torch.cuda.is_available() and wish in ("auto", "cuda"):
        if int(local) >= (there := torch.cuda.device_count()):
            hint = "start as many processes as there are GPUs, or give --device cpu"
            raise UserError(f"rank {local} has no GPU of its own: there are {there}", hint)
        torch.cuda.set_device(int(local))
        return torch.device("cuda", int(local))
    if wish == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    absent = UserError(f"device {wish!r} is not there", hint="--device auto takes the best there is")
    if wish.partition(":")[0] not in _KINDS:
        raise absent
    try:
        device = torch.device(wish)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise absent from None
    return device


def keep_memory() -> bool:
    """Have glibc keep freed memory instead of handing each large tensor back to the system; says whether it did.

    On the CPU a training step allocates and frees hundreds of megabytes; page faults on fresh memory then cost a
    quarter of its time (benchmarks/train_step.py measures it). Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
