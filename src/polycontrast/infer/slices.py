"""Canonical volumes through a system that sees framed axial slices, or slabs of them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from polycontrast.data import grid, intensity
from polycontrast.data.batches import Units
from polycontrast.data.configs import DataConfig
from polycontrast.data.intensity import Mask
from polycontrast.data.slabs import to_units
from polycontrast.errors import UserError
from polycontrast.infer import between
from polycontrast.infer.between import Indices
from polycontrast.infer.options import APART, Estimate, Options
from polycontrast.infer.workers import each_alone
from polycontrast.io.volume import Array
from polycontrast.systems.base import System

_BATCH = 8  # slices made at a time: bounds memory, but for systems that compute alone (80 MB for each thread)
_EDGE = 8  # mm of background around a brain that is cropped: with 2 mm, the PSNR of some falls by 0.2 dB
_LARGEST = 2  # times a model's extent, which has room for a head: no brain is as wide
_BACKGROUND = -1.0  # in the system's units, of either kind
Pair = tuple[int, int]
Window = tuple[Pair, Pair, Pair]  # first and width in a volume's voxels, size in pixels


def estimate(
    system: System,
    units: Units,
    raw: Sequence[Array],
    mask: Mask,
    spacing: tuple[float, float, float],
    have: Sequence[str],
    want: Sequence[str],
    device: torch.device,
    options: Options = Options(),  # noqa: B008
) -> dict[str, Estimate]:
    """The given volumes [X, Y, Z] in file units, canonical -> the wanted in normalised units, 0 outside the mask, each
    with its scale in the same units, or None."""
    data = system.data
    assert isinstance(data, DataConfig)
    box = grid.bounding_box(mask)
    brain = grid.crop(mask, box)  # from here on nothing is computed, or even looked at, that lies beyond it
    start, width, size = _window(system, data, box, mask.shape, spacing)
    stack = []
    for array in raw:
        cut = grid.crop(array, box)
        fit = intensity.fit(cut, brain)
        if data.units == "volume":
            stack.append(fit.apply(cut, brain))
        else:
            stack.append(np.where(brain, np.maximum(cut, 0), np.float32(0)))  # as in training
    slices = np.stack(stack).transpose(3, 0, 1, 2)  # [Z, C, X, Y]
    small = to_units(grid.resize(grid.cut(slices, start, width), size), data.units)
    apart = max(data.apart, APART if options.fast else 0.0)
    firsts = _firsts(len(small), data.made, int(apart / spacing[2] + 0.01))
    known, made, scales = _network(system, small, firsts, have, want, device, options)
    inside = brain.transpose(2, 0, 1)  # [Z, X, Y]

    def placed(image: Array) -> Array:
        """[K, X, Y] in pixels -> in voxels of the box."""
        large: Array = grid.paste(grid.resize(image, width), start, width, brain.shape[:2]) * inside[known]
        return large

    gains = [units[name] for name in want]
    images = [placed(gain * made[:, i] + offset) for i, (gain, offset) in enumerate(gains)]
    widths = [] if scales is None else [placed(abs(gain) * scales[:, i]) for i, (gain, _) in enumerate(gains)]
    if len(known) < len(inside):
        images, widths = between.guided(images, widths, known, slices.swapaxes(0, 1), inside, spacing[:2], device)

    def finished(i: int) -> Estimate:
        """[Z, X, Y] in the box -> [X, Y, Z] of the volume."""
        found = [_centred(images[i], inside) if data.centred else images[i], *widths[i : i + 1]]
        image, *width = (grid.uncrop(x.transpose(1, 2, 0), box, mask.shape) for x in found)
        return image, width[0] if width else None

    return dict(zip(want, each_alone(finished, range(len(want))), strict=True))


def _firsts(depth: int, made: int, apart: int) -> Indices:
    """Where the slices that each slab makes begin: at most so many slices apart, as evenly as can be."""
    if apart <= made or depth <= made:
        return np.arange(0, depth, made)
    return np.linspace(0, depth - made, math.ceil((depth - made) / apart) + 1).round().astype(int)


def _window(
    system: System,
    data: DataConfig,
    box: grid.Box,
    shape: tuple[int, ...],
    spacing: tuple[float, float, float],
) -> Window:
    """The part of every slice that the network sees, from the box's corner: the recipe's frame, or no more than the
    brain needs; a UserError for voxels too small for a head, or a brain too large for one."""
    frame = data.frame
    usual = frame.pixels(spacing)
    if not data.cropped:
        x, y = frame.place(box, shape, spacing)
        return (x - box[0][0], y - box[1][0]), usual, (data.size, data.size)
    widest = max((high - low) * edge for (low, high), edge in zip(box, spacing[:2], strict=False))
    if widest > _LARGEST * data.extent:
        raise UserError(f"a brain {widest:.0f} mm wide", hint="does the header give lengths in another unit than mm?")
    pixel = data.extent / data.size
    start, width, size = [], [], []
    for (low, high), edge in zip(box, spacing[:2], strict=False):
        pixels = (high - low) * edge + 2 * _EDGE
        n = math.ceil(pixels / pixel / system.multiple) * system.multiple
        voxels = max(1, round(n * pixel / edge))
        start.append((high - low - voxels) // 2)
        width.append(voxels)
        size.append(n)
    return (start[0], start[1]), (width[0], width[1]), (size[0], size[1])


def _centred(image: Array, mask: Mask) -> Array:
    """An image of 0 outside the mask, moved so that its mean in the brain is that of every real image in normalised
    units, by their definition."""
    shift = np.float32(intensity.MEAN - image.sum(dtype=np.float64) / mask.sum())
    return np.where(mask, image + shift, np.float32(0))


def _network(
    system: System,
    slices: Array,
    firsts: Indices,
    have: Sequence[str],
    want: Sequence[str],
    device: torch.device,
    options: Options,
) -> tuple[Indices, Array, Array | None]:
    """[Z, len(have), X, Y] in the system's units -> which slices (K of them) come out of slabs that make theirs from
    `firsts` on; these [K, len(want), X, Y]; and the scales."""
    data = system.data
    assert isinstance(data, DataConfig)
    alone = device.type == "cpu" and system.computes_alone and system.precision == "float32"
    made, each = data.made, 1 if alone else max(1, _BATCH // data.made)
    around = ((data.first, data.first + made - 1), (0, 0), (0, 0), (0, 0))
    padded = torch.from_numpy(np.pad(slices, around, constant_values=_BACKGROUND))
    slabs = padded.unfold(0, data.slab, 1).movedim(-1, 2)  # [first slice, C, K, X, Y]

    def estimated(at: Tensor) -> tuple[Tensor, Tensor | None]:
        return _estimate(system, slabs[at].to(device), have, want, options.ensemble)

    batches = torch.from_numpy(firsts).split(each)
    with system.evaluating():
        parts = each_alone(estimated, batches) if alone else [estimated(at) for at in batches]
    at, order = np.unique((firsts[:, None] + np.arange(made)).ravel(), return_index=True)
    known = order[at < len(slices)]
    scales = [_in_order(scale) for _, scale in parts if scale is not None]
    images = np.concatenate([_in_order(image) for image, _ in parts])
    return at[at < len(slices)], images[known], np.concatenate(scales)[known] if scales else None


@torch.inference_mode()
def _estimate(
    system: System, batch: Tensor, have: Sequence[str], want: Sequence[str], ensemble: bool
) -> tuple[Tensor, Tensor | None]:
    """`system.synthesize`, or the mean of it and of what is made of the mirrored slabs, mirrored back."""
    image, scale = system.synthesize(batch, have, want)
    if not ensemble:
        return image, scale
    other, other_scale = system.synthesize(batch.flip(-2), have, want)
    both = None if scale is None or other_scale is None else (scale + other_scale.flip(-2)) / 2
    return (image + other.flip(-2)) / 2, both


def _in_order(x: Tensor) -> Array:
    """[groups, W, M, X, Y] -> [groups * M, W, X, Y]."""
    return x.transpose(1, 2).flatten(0, 1).cpu().numpy()
