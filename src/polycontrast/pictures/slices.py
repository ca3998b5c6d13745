"""Slices of volumes as pictures: mosaics of three planes, previews of training.

Slices are shown as radiologists do: the patient's right is on the viewer's left, anterior or superior is up, and in
sagittal slices anterior is on the left. Arrays come in canonical orientation (x to the right, y to anterior, z up).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import DARK, DIM, LIGHT, MARK, Image, bare, canvas, corner, headline, save

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
    brain = np.any([volume != 0 for label, volume in panels.items() if _window(label) is GREY], axis=0)
    box = _around(brain)
    middle = (center[0] - box[0].start, center[1] - box[1].start, center[2] - box[2].start)
    x, y, z = ((s.stop - s.start) * mm for s, mm in zip(box, spacing, strict=True))
    width, heights = max(x, y), [y, z, z]
    inch = 2.3 / width
    figure = canvas(inch * width * len(panels) + 0.1, inch * sum(heights) + 1.25, DARK)
    spec = figure.add_gridspec(
        3, len(panels), height_ratios=heights, wspace=0.02, hspace=0.02, left=0.01, right=0.99,
        top=1 - 0.55 / figure.get_figheight(), bottom=0.7 / figure.get_figheight(),
    )  # fmt: skip
    for column, (label, volume) in enumerate(panels.items()):
        window = _window(label)
        for row in range(3):
            axes = figure.add_subplot(spec[row, column])
            picture = np.where(plane(brain[box], row, middle), plane(volume[box], row, middle), np.nan)
            _slice(axes, plane(volume[box], row, middle) if window is GREY else picture, row, spacing, window)
            axes.set_xlim(*_centred(axes.get_xlim(), width))
            if column == 0:
                corner(axes, 0.02, 0.03, f"{PLANES[row]}", DIM)
            if label in synthetic:
                corner(axes, 0.02, 0.97, "SYNTHETIC", MARK, weight="bold")
        figure.axes[-3].set_title(label, color=LIGHT, fontsize=10, pad=4)
        if window is not GREY or column == 0:
            _colour_bar(figure, figure.axes[-1], window)
    headline(figure, title)
    note = "patient's right is on the left; research only, not for diagnosis"
    figure.text(0.5, 0.1 / figure.get_figheight(), note, color=DIM, fontsize=7.5, va="center", ha="center")
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


def _slice(axes: "Axes", picture: Image, row: int, spacing: tuple[float, float, float], window: Window) -> None:
    across, up = ((0, 1), (0, 2), (1, 2))[row]
    height, width = picture.shape[0] * spacing[up], picture.shape[1] * spacing[across]
    bare(axes)
    axes.imshow(
        picture, cmap=_colours(window.cmap), vmin=window.low, vmax=window.high, extent=(0, width, 0, height),
        interpolation="lanczos" if window is GREY else "nearest",
    )  # fmt: skip
    left, right = _SIDES[row]
    corner(axes, 0.02, 0.82, left, DIM, size=7)
    corner(axes, 0.98, 0.82, right, DIM, size=7, align="right")


def _colour_bar(figure: "Figure", under: "Axes", window: Window) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    place, height = under.get_position(), figure.get_figheight()
    axes = figure.add_axes((place.x0 + 0.1 * place.width, 0.43 / height, 0.8 * place.width, 0.08 / height))
    colours = ScalarMappable(Normalize(window.low, window.high), _colours(window.cmap))
    bar = figure.colorbar(colours, cax=axes, orientation="horizontal")
    ticks = [window.low, (window.low + window.high) / 2, window.high]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.set_title(window.label, color=DIM, fontsize=7, pad=2)
    bar.ax.tick_params(colors=DIM, labelsize=7, length=2, pad=1)
    bar.outline.set_visible(False)


def _colours(name: str) -> "Colormap":
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, _DIVERGING) if name == "diverging" else colormaps[name]


def _centred(limits: tuple[float, float], width: float) -> tuple[float, float]:
    middle = sum(limits) / 2
    return middle - width / 2, middle + width / 2
