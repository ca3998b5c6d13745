"""Charts of an evaluation: distributions, agreement, spectra, joint histograms.

Dark on white for print, in the colours of Okabe and Ito (2008), which every common kind of colour vision tells apart;
nothing is told by colour alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import INK, canvas, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.floating[Any]]

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8a8a8a"
CYCLE = (BLUE, ORANGE, GREEN, GREY, VERMILION, "#CC79A7", "#56B4E9")  # the first is the judged system's
DPI, WIDTH = 160, 7.6  # inches across: read at 800 pixels or on paper
FEWEST = 5  # values that a violin is drawn of


def violins(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], columns: int = 3) -> None:
    """How values spread over patients: a panel per measure, in it a violin per system, its points and its mean.

    panels: title -> system -> values, every patient's. Infinite values are left out and their number is said.
    """
    rows = -(-len(panels) // columns)
    figure = _white(WIDTH, 2.3 * rows + 0.1)
    for place, (title, systems) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        _plain(axes, title)
        for x, (values, colour) in enumerate(zip(systems.values(), CYCLE * len(systems), strict=False)):
            _violin(axes, x, np.asarray(values, dtype=np.float64), colour)
        axes.set_xticks(range(len(systems)), [name.replace(" ", "\n") for name in systems])
        axes.set_xlim(-0.6, len(systems) - 0.4)
        axes.grid(axis="y", color="#ececec", linewidth=0.7)
    save(figure, path, colours=64)


def bland_altman(path: Path, panels: Mapping[str, tuple[Numbers, Numbers]], unit: str) -> None:
    """Difference against mean of two readings of the same patients, with bias and limits of agreement, bias ± 1.96 SD
    (Bland and Altman 1986).

    panels: title -> (real [n], synthetic [n]). Every panel has its own axes; no difference is always in view.
    """
    figure = _white(WIDTH, 2.9)
    for place, (title, (real, synthetic)) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), place + 1)
        _plain(axes, f"{title} (n = {len(real)})\n\n")
        axes.axhline(0, color=INK, linewidth=1)
        axes.scatter((real + synthetic) / 2, synthetic - real, s=26, color=BLUE, edgecolor="white", linewidth=0.6)
        axes.margins(0.12, 0.15)
        told = _limits(axes, np.asarray(synthetic - real, dtype=np.float64))
        axes.text(0, 1.02, told, transform=axes.transAxes, fontsize=7.5, color=INK, va="bottom")
    figure.supxlabel(f"mean of real and synthetic, {unit}", fontsize=8)
    figure.supylabel("synthetic − real", fontsize=8)
    save(figure, path, colours=64)


def spectra(path: Path, frequencies: Numbers, real: Numbers, synthetic: Numbers) -> None:
    """Power of real and synthetic images against spatial frequency, and their ratio: a line per volume, pale, and the
    geometric mean of all, dark.

    frequencies: [F] cycles/mm, above 0. real, synthetic: [volumes, F], power in any one unit, above 0.
    """
    figure = _white(WIDTH, 3.0)
    power, ratio = (figure.add_subplot(1, 2, i + 1) for i in range(2))
    _plain(power, "power")
    _plain(ratio, "power, synthetic / real")
    for axes, lines, colour, style, label in (
        (power, real, INK, "-", "real"),
        (power, synthetic, BLUE, "--", "synthetic"),
        (ratio, synthetic / real, BLUE, "-", ""),
    ):
        axes.plot(frequencies, lines.T, color=colour, linewidth=0.5, alpha=0.22)
        axes.plot(frequencies, np.exp(np.log(lines).mean(axis=0)), color=colour, linestyle=style, lw=2, label=label)
        axes.set_yscale("log")
        axes.set_xlabel("spatial frequency, cycles/mm", fontsize=8)
        axes.set_xlim(0, float(frequencies[-1]))
        axes.grid(color="#ececec", linewidth=0.7)
    power.legend(frameon=False, fontsize=8)
    power.set_ylabel("normalised units² mm²", fontsize=8)
    _ratio_scale(ratio)
    save(figure, path, colours=64)


def joint_histogram(path: Path, counts: Numbers, edges: Numbers) -> None:
    """How often a real value [bins, first axis] goes with a synthetic one [second axis]: darker is more, logarithmic.

    On the dashed line both are equal; the orange one is the mean synthetic value at each real one.
    """
    from matplotlib.colors import LogNorm

    figure = _white(4.2, 3.7)
    axes = figure.add_subplot()
    _plain(axes, "")
    low, high = float(edges[0]), float(edges[-1])
    seen = np.ma.masked_equal(counts.T, 0)
    image = axes.imshow(
        seen, cmap="Blues", norm=LogNorm(0.3, max(10.0, float(counts.max()))), origin="lower",
        extent=(low, high, low, high), interpolation="nearest",
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=INK, linestyle="--", linewidth=1, label="equal")
    _mean_line(axes, counts, edges)
    axes.set_xlabel("real, normalised units", fontsize=8)
    axes.set_ylabel("synthetic, normalised units", fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("voxels (log)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    save(figure, path, colours=128)


def _white(width: float, height: float) -> "Figure":
    figure = canvas(width, height, dpi=DPI)
    figure.set_layout_engine("constrained")
    return figure


def _plain(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left", weight="bold", color=INK)
    axes.tick_params(labelsize=8, length=2.5, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def _violin(axes: "Axes", x: int, values: Numbers, colour: str) -> None:
    known = values[np.isfinite(values)]
    if len(known) < len(values):
        note = f"{len(values) - len(known)} infinite"
        axes.text(x, 1, note, transform=axes.get_xaxis_transform(), fontsize=6.5, ha="center", va="top", color=INK)
    if not len(known):
        return
    if len(known) >= FEWEST and np.ptp(known) > 0:
        drawn: Any = axes.violinplot([known], positions=[x], widths=0.8, showextrema=False)
        drawn["bodies"][0].set(facecolor=colour, edgecolor=colour, alpha=0.28)
    aside = 0.13 * np.sin(2.4 * np.arange(len(known)))  # apart, and at the same places every time
    axes.scatter(x + aside, known, s=11, color=colour, edgecolor="white", linewidth=0.4, zorder=3)
    axes.hlines(known.mean(), x - 0.3, x + 0.3, color=INK, linewidth=1.6, zorder=4)


def _limits(axes: "Axes", difference: Numbers) -> str:
    """Draws the lines of bias and limits; what they say."""
    bias = float(difference.mean())
    axes.axhline(bias, color=VERMILION, linewidth=1.4)
    if len(difference) < 2:
        return f"bias {_signed(bias)}"
    reach = 1.96 * float(difference.std(ddof=1))
    for limit in (bias - reach, bias + reach):
        axes.axhline(limit, color=VERMILION, linestyle="--", linewidth=1.2)
    return f"bias {_signed(bias)}\nlimits {_signed(bias - reach)} to {_signed(bias + reach)}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _ratio_scale(axes: "Axes") -> None:
    """A logarithmic axis around 1 whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.axhline(1, color=INK, linestyle="--", linewidth=1)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mean_line(axes: "Axes", counts: Numbers, edges: Numbers) -> None:
    """Where at least a ten-thousandth of all voxels are: the tails' means are noise."""
    middle = (edges[:-1] + edges[1:]) / 2
    total = counts.sum(axis=1)
    enough = total > max(1.0, 1e-4 * float(total.sum()))
    axes.plot(
        middle[enough], (counts[enough] @ middle) / total[enough], color=VERMILION, linewidth=1.8,
        label="mean synthetic",
    )  # fmt: skip
