"""Batches compared and put together."""

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from polycontrast.data.batches import Batch


def assert_equal(a: Batch, b: Batch) -> None:
    """To the bit, field by field."""
    for field in fields(Batch):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert torch.equal(x, y) if isinstance(x, Tensor) else x == y, field.name


def joined(parts: Sequence[Batch]) -> Batch:
    """The shares of several ranks as one batch."""
    tensors = {
        f.name: torch.cat([getattr(p, f.name) for p in parts])
        for f in fields(Batch) if isinstance(getattr(parts[0], f.name), Tensor)
    }  # fmt: skip
    return Batch(index=tuple(i for p in parts for i in p.index), **tensors)
