"""Slices of volumes as pictures: mosaics of three planes, previews of training.

Slices are shown as radiologists do: the patient's right is on the viewer's left, anterior or superior is up, and in
sagittal slices anterior is on the left. Arrays come in canonical orientation (x to the right, y to anterior, z up).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import DIM
from polycontrast.pictures.sheet import LIGHT, Place, Sheet, coloured, resized

Center = tuple[int, int, int]
Array = NDArray[np.floating[Any]]

PLANES = ("axial", "coronal", "sagittal")
_SIDES = (("R", "L"), ("R", "L"), ("A", "P"))  # what is left and right in each plane
# Blue, black, orange: told apart by every common kind of colour vision, and 0 is as dark as the background.
_DIVERGING = ("#c6e6ff", "#3d9be0", "#0f3d66", "#000000", "#6b3305", "#e58a1f", "#ffe3b8")
_CIVIDIS = (
    "#00224e", "#083370", "#35456c", "#4f576c", "#666970", "#7d7c78", "#948e77", "#aea371", "#c8b866", "#e5cf52",
    "#fee838",
)  # fmt: skip
_SIDE, _GAP = 212, 4  # pixels: the longer edge of an axial slice in a mosaic, and between slices
_LOWEST = 40  # pixels: what a row of slices has for its words, however thin they are
_ABOVE, _BELOW = 51, 64  # pixels: of a mosaic's title and labels, and of its colour bars
_CELL = 156  # pixels: the width of a slice in a preview


@dataclass(frozen=True)
class Window:
    """The values that a ramp of colours spans, the colours, and what the colour bar says."""

    low: float
    high: float
    colours: tuple[str, ...]
    label: str

    def shown(self, values: Array) -> NDArray[np.uint8]:
        """Values of any shape -> colours [..., 3]."""
        return coloured((values - self.low) / (self.high - self.low), self.colours)


_GREY = Window(0.0, 1.25, ("#000000", "#ffffff"), "normalised units")
_WINDOWS = {
    "difference": Window(-0.5, 0.5, _DIVERGING, "synthetic − real"),
    "confidence": Window(0.0, 0.5, _CIVIDIS, "± of the 80 % interval"),
}


def _window(label: str) -> Window:
    """That of a panel by the last word of its label: "difference", "T1 confidence"."""
    return _WINDOWS.get(label.rpartition(" ")[2], _GREY)


def center(mask: NDArray[np.bool_]) -> Center:
    """The voxel whose three planes cut the most of a region, [X, Y, Z] bool; the middle of the array if it is empty."""
    if not mask.any():
        x, y, z = (n // 2 for n in mask.shape)
    else:
        x, y, z = (int(np.argmax(mask.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
    return x, y, z


def mosaic(
    path: Path,
    panels: Mapping[str, Array],
    *,
    spacing: tuple[float, float, float],
    center: Center,
    title: str,
    synthetic: Collection[str] = (),
) -> None:
    """Three planes (rows) of several volumes (columns), with fixed windows and true proportions.

    panels: label -> volume [X, Y, Z], canonical orientation, all on one grid. Values are normalised units, shown from 0
    to 1.25; labels that end with "difference" (±0.5) and "confidence" (0 to 0.5) have windows of their own. spacing:
    voxel edges in mm. center: the voxel all planes pass through. synthetic: the labels on whose slices SYNTHETIC is
    written.
    """
    brain = reduce(np.logical_or, (volume != 0 for label, volume in panels.items() if _window(label) is _GREY))
    around = _around(brain)
    middle = (center[0] - around[0].start, center[1] - around[1].start, center[2] - around[2].start)
    x, y, z = ((s.stop - s.start) * mm for s, mm in zip(around, spacing, strict=True))
    pixels = _SIDE / max(x, y)  # of a mm
    sizes = [(max(1, round(pixels * across)), max(1, round(pixels * up))) for across, up in ((x, y), (x, z), (y, z))]
    heights = [max(up, _LOWEST) for _, up in sizes]
    tops = [_ABOVE + sum(height + _GAP for height in heights[:row]) for row in range(4)]
    sheet = Sheet((_SIDE + _GAP) * len(panels) + _GAP, tops[3] + _BELOW, title)
    for column, (label, volume) in enumerate(panels.items()):
        left, window = _GAP + (_SIDE + _GAP) * column, _window(label)
        sheet.write((left + _SIDE // 2, _ABOVE - 6), label, LIGHT, 13, "ms")
        for row, (across, up) in enumerate(sizes):
            picture, outline = (plane(x[around], row, middle) for x in (volume, brain))
            place = left + (_SIDE - across) // 2, tops[row]
            sheet.place(_coloured(picture, outline, across, up, window), place)
            _words(sheet, (left, tops[row]), heights[row], row, synthetic=label in synthetic, first=column == 0)
        if window is not _GREY or column == 0:
            _colour_bar(sheet, (left + _SIDE // 10, tops[3] + 17), window)
    note = "patient's right is on the left; research only, not for diagnosis"
    sheet.write((sheet.image.width // 2, sheet.image.height - 9), note, DIM, 9.5, "mm")
    sheet.save(path)


def plane(volume: Array, row: int, center: Center) -> Array:
    """The slice of a canonical volume through a voxel, as lines of a picture; row 0, 1, 2: axial, coronal, sagittal."""
    cut: Array = np.moveaxis(volume, 2 - row, 0)[center[2 - row]]  # a view, which `np.take` would copy whole
    return cut[::-1, ::-1].T


def preview(
    path: Path,
    images: Array,
    row_labels: Sequence[str],
    col_labels: Sequence[str],
    title: str,
    *,
    synthetic: Collection[str] = (),
    real_rows: Collection[str] = (),
    window: tuple[float, float] = (_GREY.low, _GREY.high),
    photographs: bool = False,
) -> None:
    """A grid of axial slices: images [rows, columns, X, Y], canonical orientation, all shown in one window.

    The grid is cropped to what is brighter than the window's lower end. synthetic: the column labels on whose slices
    SYNTHETIC is written, but for the rows with labels in `real_rows`. photographs: images are [rows, columns, lines, X]
    or, in colour, [rows, columns, lines, X, 3], and are shown whole.
    """
    if not photographs:
        across, along = _around(np.asarray(images > window[0] + 0.01).any(axis=(0, 1)))
        images = images[:, :, across, along][:, :, ::-1, ::-1].swapaxes(2, 3)
    grey = Window(*window, _GREY.colours, "")
    images = images.clip(*window)  # before it is resized: a filter makes dark rings around what is too bright
    rows, columns, y, x = images.shape[:4]
    high = max(1, round(_CELL * y / x))
    sheet = Sheet((_CELL + 3) * columns + 28, (high + 3) * rows + 64, title)
    for row, column in np.ndindex(rows, columns):
        left, top = 26 + (_CELL + 3) * column, 55 + (high + 3) * row
        channels = np.moveaxis(np.atleast_3d(images[row, column]), 2, 0)
        shown = [grey.shown(resized(channel, _CELL, high))[..., 0] for channel in channels]
        sheet.place(np.stack(shown * (3 // len(shown)), axis=2), (left, top))
        if row == 0:
            sheet.write((left + _CELL // 2, top - 4), col_labels[column], LIGHT, 11.5, "ms")
        if column == 0:
            sheet.write_up((left - 12, top + high // 2), row_labels[row], 9)
        if col_labels[column] in synthetic and row_labels[row] not in real_rows:
            sheet.mark((left, top), 8)
    sheet.save(path, colours=None if images.ndim == 5 else 128)


def _around(shown: Any, margin: int = 3) -> tuple[slice, ...]:
    """The box around what is True in a boolean array, and a little more; everything if nothing is."""
    sides = []
    for axis, n in enumerate(shown.shape):
        hit = np.flatnonzero(shown.any(axis=tuple(a for a in range(shown.ndim) if a != axis)))
        first, last = (hit[0], hit[-1]) if hit.size else (0, n - 1)
        sides.append(slice(max(0, int(first) - margin), min(n, int(last) + margin + 1)))
    return tuple(sides)


def _coloured(picture: Array, outline: Array, width: int, height: int, window: Window) -> NDArray[np.uint8]:
    """A slice in the colours of its window, black outside the brain where 0 is not black."""
    shown = window.shown(resized(picture, width, height, smooth=window is _GREY))
    if window is not _GREY:
        shown *= resized(outline, width, height, smooth=False).astype(np.uint8)[..., None]
    return shown


def _words(sheet: Sheet, at: Place, height: int, row: int, *, synthetic: bool, first: bool) -> None:
    left, top = at
    for x, side, anchor in ((4, 0, "lm"), (_SIDE - 4, 1, "rm")):
        sheet.write((left + x, top + max(20, round(0.18 * height))), _SIDES[row][side], DIM, 9, anchor)
    if first:
        sheet.write((left + 4, top + height - 3), PLANES[row], DIM, 10, "ls")
    if synthetic:
        sheet.mark(at)


def _colour_bar(sheet: Sheet, at: Place, window: Window) -> None:
    (left, top), width, height = at, _SIDE * 8 // 10, 7
    ramp = window.shown(np.linspace(window.low, window.high, width))
    sheet.place(np.broadcast_to(ramp, (height, width, 3)), at)
    for share in (0.0, 0.5, 1.0):
        value = window.low + share * (window.high - window.low)
        sheet.write((left + round(share * width), top + height + 4), f"{value:g}", DIM, 9, "ma")
    sheet.write((left + width // 2, top - 3), window.label, DIM, 9, "ms")
