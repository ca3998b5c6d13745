"""Contrasts as the channels of a network, and back. In 2-D a contrast has K planes (1 for MR, 3 for colours)."""

from collections.abc import Sequence

from torch import Tensor

from polycontrast.data.batches import Batch


def joined(batch: Batch, contrasts: Sequence[str], names: Sequence[str]) -> Tensor:
    """The named contrasts of a batch as channels: [B, len(names) * K, H, W] (or [B, len(names), D, H, W] in 3-D)."""
    return chosen(batch.images, contrasts, names, batch.dims)


def chosen(images: Tensor, have: Sequence[str], names: Sequence[str], dims: int) -> Tensor:
    """Those of the images [B, len(have), K, H, W] that are named, as channels, in the order of the names."""
    return as_channels(images[:, [list(have).index(name) for name in names]], dims)


def as_channels(images: Tensor, dims: int) -> Tensor:
    """[B, n, K, H, W] -> [B, n * K, H, W]; 3-D patches are channels already."""
    return images.flatten(1, 2) if dims == 2 else images


def as_contrasts(made: Tensor, number: int, dims: int) -> Tensor:
    """The way back: [B, n * K, H, W] -> [B, n, K, H, W]."""
    return made.unflatten(1, (number, -1)) if dims == 2 else made
