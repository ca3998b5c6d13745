"""Curves of a training's log."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import DIM, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLOCK = ("images", "updates", "seconds")  # of a log record: when, not what


def curves(path: Path, records: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> None:
    """Small multiples of logged terms against images seen: what was logged, pale, and its running mean, dark.

    records: the log's lines, each with `images` and any of the names. names: the terms drawn; every number in the log
    but its clock if None. A term that is positive and spans more than a factor of 30 has a logarithmic axis, one with
    negative values that spans more than 1000 a symmetric one.
    """
    if names is None:
        found = dict.fromkeys(name for record in records for name in record if _is_number(record[name]))
        names = [name for name in found if name not in CLOCK]
    columns = min(4, max(1, len(names)))
    rows = max(1, math.ceil(len(names) / columns))
    figure = canvas(3.1 * columns, 2.1 * rows + 0.3)
    figure.set_layout_engine("constrained")
    for place, name in enumerate(names):
        points = [(r["images"], r[name]) for r in records if _is_number(r.get(name))]
        axes = figure.add_subplot(rows, columns, place + 1)
        _curve(axes, name, np.array(points, dtype=np.float64).reshape(-1, 2))
    figure.supxlabel("images seen", fontsize=9)
    save(figure, path, colours=64)


def _curve(axes: "Axes", name: str, points: NDArray[np.float64]) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_title(name, fontsize=10, loc="left", weight="bold")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.tick_params(labelsize=7, length=2)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    if not len(points):
        axes.tick_params(labelbottom=False, labelleft=False)
        axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", va="center", color=DIM, fontsize=8)
        return
    seen, values = points.T
    span = max(1, len(values) // 50)
    smooth = np.convolve(np.pad(values, (span - 1, 0), mode="edge"), np.ones(span) / span, mode="valid")
    axes.plot(seen, values, color="#8fc1e8", linewidth=0.7)
    axes.plot(seen, smooth, color="#0b4f8a", linewidth=1.5)
    axes.set_title(f"{smooth[-1]:.4g}", fontsize=8, loc="right", color="#0b4f8a")
    _scale(axes, values)


def _scale(axes: "Axes", values: NDArray[np.float64]) -> None:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 30:
        axes.set_yscale("log")
    elif low < 0 < high or low < 0:
        size = float(np.median(np.abs(values)))
        if size > 0 and max(-low, high) / size > 1000:
            axes.set_yscale("symlog", linthresh=size)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
