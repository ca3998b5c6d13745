"""Slices of volumes as pictures: mosaics of three planes, previews of training.

Slices are shown as radiologists do: the patient's right is on the viewer's left, anterior or superior is up, and in
sagittal slices anterior is on the left. Arrays come in canonical orientation (x to the right, y to anterior, z up).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import DARK, DIM, LIGHT, MARK, Cell, Image, bare, canvas, corner, headline, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Center = tuple[int, int, int]

PLANES = ("axial", "coronal", "sagittal")
_SIDES = (("R", "L"), ("R", "L"), ("A", "P"))  # what is left and right in each plane
# Blue, black, orange: told apart by every common kind of colour vision, and 0 is as dark as the background.
_DIVERGING = ("#c6e6ff", "#3d9be0", "#0f3d66", "#000000", "#6b3305", "#e58a1f", "#ffe3b8")


@dataclass(frozen=True)
class Window:
    """The values that a colour map spans, its name ("diverging" is ours), and what the colour bar says."""

    low: float
    high: float
    cmap: str
    label: str


GREY = Window(0.0, 1.25, "gray", "normalised units")
WINDOWS = {
    "difference": Window(-0.5, 0.5, "diverging", "synthetic − real"),
    "confidence": Window(0.0, 0.5, "cividis", "± of the 80 % interval"),
}


def _window(label: str) -> Window:
    """That of a panel by the last word of its label: "difference", "T1 confidence"."""
    return WINDOWS.get(label.rpartition(" ")[2], GREY)


def center(mask: NDArray[np.bool_]) -> Center:
    """The voxel whose three planes cut the most of a region, [X, Y, Z] bool; the middle of the array if it is empty."""
    if not mask.any():
        x, y, z = (n // 2 for n in mask.shape)
    else:
        x, y, z = (int(np.argmax(mask.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
    return x, y, z


def mosaic(
    path: Path,
    panels: Mapping[str, Image],
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
    brain = reduce(np.logical_or, (volume != 0 for label, volume in panels.items() if _window(label) is GREY))
    box = _around(brain)
    middle = (center[0] - box[0].start, center[1] - box[1].start, center[2] - box[2].start)
    x, y, z = ((s.stop - s.start) * mm for s, mm in zip(box, spacing, strict=True))
    inch, gap = 2.3 / max(x, y), 0.04
    sizes = [(inch * across, inch * up) for across, up in ((x, y), (x, z), (y, z))]
    bottom, pitch = 0.7, inch * max(x, y) + gap
    floors = [bottom + sum(up + gap for _, up in sizes[row + 1 :]) for row in range(3)]
    ceiling = floors[0] + sizes[0][1]
    figure = canvas(pitch * len(panels) + 0.1, ceiling + 0.55, DARK)
    axes = _inches(figure)
    for column, (label, volume) in enumerate(panels.items()):
        window, start = _window(label), 0.05 + pitch * column
        for row, (across, up) in enumerate(sizes):
            cell = (start, floors[row], pitch - gap, up)
            picture = plane(volume[box], row, middle)
            shown = picture if window is GREY else np.where(plane(brain[box], row, middle), picture, np.nan)
            _slice(axes, shown, cell, across, row, window)
            if column == 0:
                corner(axes, 0.02, 0.03, PLANES[row], DIM, cell=cell)
            if label in synthetic:
                corner(axes, 0.02, 0.97, "SYNTHETIC", MARK, weight="bold", cell=cell)
        axes.text(start + (pitch - gap) / 2, ceiling + 0.08, label, color=LIGHT, fontsize=10, ha="center")
        if window is not GREY or column == 0:
            _colour_bar(axes, (start + 0.1 * pitch, 0.43, 0.8 * pitch, 0.08), window)
    headline(figure, title)
    note = "patient's right is on the left; research only, not for diagnosis"
    axes.text(figure.get_figwidth() / 2, 0.1, note, color=DIM, fontsize=7.5, va="center", ha="center")
    save(figure, path)


def plane(volume: Image, row: int, center: Center) -> Image:
    """The slice of a canonical volume through a voxel, as lines of a picture; row 0, 1, 2: axial, coronal, sagittal."""
    cut: Image = np.moveaxis(volume, 2 - row, 0)[center[2 - row]]  # a view, which `np.take` would copy whole
    return cut[::-1, ::-1].T


def preview(
    path: Path,
    images: Image,
    row_labels: Sequence[str],
    col_labels: Sequence[str],
    title: str,
    *,
    synthetic: Collection[str] = (),
    real_rows: Collection[str] = (),
    window: tuple[float, float] = (GREY.low, GREY.high),
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
    images = np.clip((images - window[0]) / (window[1] - window[0]), 0, 1)
    rows, columns, y, x = images.shape[:4]
    figure = canvas(1.7 * columns + 0.3, 1.7 * rows * y / x + 0.75, DARK)
    spec = figure.add_gridspec(
        rows, columns, wspace=0.02, hspace=0.02, left=0.3 / figure.get_figwidth(), right=0.995,
        top=1 - 0.6 / figure.get_figheight(), bottom=0.1 / figure.get_figheight(),
    )  # fmt: skip
    for row in range(rows):
        for column in range(columns):
            axes = figure.add_subplot(spec[row, column])
            bare(axes)
            axes.imshow(images[row, column], cmap="gray", vmin=0, vmax=1, aspect="auto")
            if row == 0:
                axes.set_title(col_labels[column], color=LIGHT, fontsize=9, pad=3)
            if column == 0:
                axes.set_ylabel(row_labels[row], color=DIM, fontsize=7, labelpad=3)
            if col_labels[column] in synthetic and row_labels[row] not in real_rows:
                corner(axes, 0.02, 0.97, "SYNTHETIC", MARK, size=6, weight="bold")
    headline(figure, title)
    save(figure, path, colours=None if images.ndim == 5 else 128)


def _around(shown: Any, margin: int = 3) -> tuple[slice, ...]:
    """The box around what is True in a boolean array, and a little more; everything if nothing is."""
    sides = []
    for axis, n in enumerate(shown.shape):
        hit = np.flatnonzero(shown.any(axis=tuple(a for a in range(shown.ndim) if a != axis)))
        first, last = (hit[0], hit[-1]) if hit.size else (0, n - 1)
        sides.append(slice(max(0, int(first) - margin), min(n, int(last) + margin + 1)))
    return tuple(sides)


def _inches(figure: "Figure") -> "Axes":
    """One axes for a whole figure, in inches: drawn faster than one for each slice."""
    axes = figure.add_axes((0, 0, 1, 1))
    bare(axes)
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(0, figure.get_figheight()), autoscale_on=False)
    return axes


def _slice(axes: "Axes", picture: Image, cell: Cell, across: float, row: int, window: Window) -> None:
    left, bottom, width, height = cell
    middle = (left + (width - across) / 2, bottom, across, height)
    _place(axes, picture, middle, window, "lanczos" if window is GREY else "nearest")
    for x, side, align in zip((0.02, 0.98), _SIDES[row], ("left", "right"), strict=True):
        corner(axes, x, 0.82, side, DIM, size=7, align=align, cell=cell)


def _colour_bar(axes: "Axes", cell: Cell, window: Window) -> None:
    ramp = np.linspace(window.low, window.high, 256)[None]
    _place(axes, ramp, cell, window, "nearest")
    left, bottom, width, height = cell
    for share in (0.0, 0.5, 1.0):
        at, value = left + share * width, window.low + share * (window.high - window.low)
        axes.plot([at, at], [bottom - 0.03, bottom], color=DIM, linewidth=0.8)
        axes.text(at, bottom - 0.05, f"{value:g}", color=DIM, fontsize=7, ha="center", va="top")
    axes.text(left + width / 2, bottom + height + 0.03, window.label, color=DIM, fontsize=7, ha="center")


def _place(axes: "Axes", picture: Image, cell: Cell, window: Window, interpolation: str) -> None:
    left, bottom, width, height = cell
    axes.imshow(
        picture, cmap=_colours(window.cmap), vmin=window.low, vmax=window.high, aspect="auto",
        extent=(left, left + width, bottom, bottom + height), interpolation=interpolation,
    )  # fmt: skip


def _colours(name: str) -> "Colormap":
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, _DIVERGING) if name == "diverging" else colormaps[name]
