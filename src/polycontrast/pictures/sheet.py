"""Slices and words on a black sheet, through Pillow: a third of the time that matplotlib takes, and no import of it."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import save_image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Picture = NDArray[np.uint8]  # [lines, columns, 3]
Box = tuple[int, int, int, int]  # left, top, width and height in pixels

LIGHT, DIM, MARK = "#f2f2f2", "#9a9a9a", "#ffb000"
_TITLE = 14.0  # pixels high, where it has room


class Sheet:
    """A picture of so many pixels, its title at the top left. Places count from there, to the right and down."""

    def __init__(self, width: int, height: int, title: str) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (width, height))
        self._pen = ImageDraw.Draw(self.image)
        room = 0.97 * width / max(1.0, _font(_TITLE, True).getlength(title))
        self.write((round(0.012 * width), 18), title, LIGHT, _TITLE * min(1.0, room), "lm", bold=True)

    def place(self, picture: Picture, box: Box) -> None:
        """A picture of the box's size."""
        from PIL import Image

        self.image.paste(Image.fromarray(picture), box[:2])

    def write(self, at: tuple[int, int], text: str, colour: str, size: float, anchor: str, bold: bool = False) -> None:
        """anchor: which point of the text is at this place, in Pillow's letters ("lm": left, middle)."""
        self._pen.text(at, text, colour, _font(size, bold), anchor)

    def write_up(self, at: tuple[int, int], text: str, colour: str, size: float) -> None:
        """From below to above, its middle at this place."""
        from PIL import Image, ImageDraw

        font = _font(size, False)
        left, top, right, bottom = font.getbbox(text)
        mask = Image.new("L", (round(right - left) + 1, round(bottom - top) + 1))
        ImageDraw.Draw(mask).text((-left, -top), text, 255, font)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        self.image.paste(colour, (at[0] - mask.width // 2, at[1] - mask.height // 2), mask)

    def mark(self, box: Box, text: str, size: float = 10) -> None:
        """In the upper left of a slice, so that nobody takes it for what it is not."""
        self.write((box[0] + 4, box[1] + 4), text, MARK, size, "la", bold=True)

    def save(self, path: Path, colours: int | None = None) -> None:
        """Like every picture."""
        save_image(self.image, path, colours)


def resized(image: NDArray[np.floating[Any]], box: Box, smooth: bool = True) -> NDArray[np.float32]:
    """[lines, columns] of any values -> of the box's size, by Lanczos' filter or by the nearest pixel."""
    from PIL import Image

    rule = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(image, np.float32)).resize(box[2:], rule))


def coloured(share: NDArray[np.floating[Any]], colours: Sequence[str]) -> Picture:
    """Values from 0 to 1, clipped, NaN as 0 -> colours [..., 3] along a ramp through these, evenly spaced."""
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.float32)
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(stops) - 1)
    below = np.minimum(place.astype(np.intp), len(stops) - 2)
    part = (place - below)[..., None]
    mixed: Picture = (stops[below] * (1 - part) + stops[below + 1] * part).round().astype(np.uint8)
    return mixed


@lru_cache(32)
def _font(size: float, bold: bool) -> "FreeTypeFont":
    """DejaVu Sans, which has the letters of most names: from matplotlib's data, whose import would take as long as
    the whole picture."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.submodule_search_locations
    fonts = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(
        fonts / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size, layout_engine=ImageFont.Layout.BASIC
    )
