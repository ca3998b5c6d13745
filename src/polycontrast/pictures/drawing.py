"""What every picture shares: figures without pyplot, which keeps them alive, colours, and files written whole.

matplotlib is imported when something is drawn.
"""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Image = NDArray[np.floating[Any]]
Cell = tuple[float, float, float, float]  # left, bottom, width and height in data coordinates

DARK, LIGHT, DIM, MARK = "#000000", "#f2f2f2", "#9a9a9a", "#ffb000"
WHITE, INK = "#ffffff", "#1b1b1b"


def canvas(width: float, height: float, colour: str = WHITE, dpi: int = 92) -> "Figure":
    """An empty figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, facecolor=colour)


def save(figure: "Figure", path: Path, colours: int | None = None) -> None:
    """As a PNG that holds no date, so that its bytes repeat. colours: keep only so many, for a smaller file."""
    from PIL import Image as pillow

    drawn = BytesIO()
    figure.savefig(drawn, format="rgba")
    image = pillow.frombytes("RGBA", figure.canvas.get_width_height(), drawn.getvalue()).convert("RGB")
    if colours is not None:
        image = image.quantize(colours, dither=pillow.Dither.NONE)
    with atomic_write(path) as part:
        image.save(part, format="PNG", compress_level=2)  # mosaics: 5 % larger than by the usual 6, in half of the time


def headline(figure: "Figure", title: str) -> None:
    """The title at the top left, smaller where the figure is narrow."""
    width, height = figure.get_size_inches()
    size = min(11.0, 72 * 0.97 * width / (0.66 * max(1, len(title))))
    figure.text(0.012, 1 - 0.2 / height, title, color=LIGHT, fontsize=size, va="center", weight="bold")


def bare(axes: "Axes") -> None:
    """Nothing but the picture: no frame, no ticks, dark behind it."""
    axes.set_facecolor(DARK)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def corner(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    colour: str,
    size: float = 8,
    align: str = "left",
    weight: str = "normal",
    cell: Cell | None = None,
) -> None:
    """A text inside the axes, or a cell of them, at fractions of its width and height."""
    vertical = "top" if y > 0.9 else "bottom" if y < 0.1 else "center"
    left, bottom, width, height = cell or (0, 0, 1, 1)
    axes.text(
        left + x * width, bottom + y * height, text, transform=axes.transData if cell else axes.transAxes,
        color=colour, fontsize=size, ha=align, va=vertical, weight=weight,
    )  # fmt: skip
