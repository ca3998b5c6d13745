"""Slices and words on a black sheet, through Pillow: quicker than by matplotlib, whose import alone takes as long."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polycontrast.pictures.drawing import DIM, save_image

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

Picture = NDArray[np.uint8]  # [lines, columns, 3]
Place = tuple[int, int]  # pixels from the left and from the top

LIGHT, MARK = "#f2f2f2", "#ffb000"
_TITLE = 14  # pixels high, where it has room


class Sheet:
    """A picture of so many pixels, its title at the top left. Places count from there, to the right and down."""

    def __init__(self, width: int, height: int, title: str) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (width, height))
        self._pen = ImageDraw.Draw(self.image)
        left, size = round(0.012 * width), float(_TITLE)
        while size > 1 and left + _font(size, True).getlength(title) > 0.99 * width:
            size -= 0.5
        self.write((left, 18), title, LIGHT, size, "lm", bold=True)

    def place(self, picture: Picture, at: Place) -> None:
        """A picture, its upper left corner at this place."""
        from PIL import Image

        self.image.paste(Image.fromarray(picture), at)

    def write(self, at: Place, text: str, colour: str, size: float, anchor: str, bold: bool = False) -> None:
        """anchor: which point of the text is at this place, in Pillow's letters ("lm": left, middle)."""
        self._pen.text(at, text, colour, _font(size, bold), anchor)

    def write_up(self, at: Place, text: str, size: float) -> None:
        """From below to above, its middle at this place."""
        from PIL import Image, ImageDraw

        font = _font(size, False)
        left, top, right, bottom = font.getbbox(text)
        mask = Image.new("L", (round(right - left) + 1, round(bottom - top) + 1))
        ImageDraw.Draw(mask).text((-left, -top), text, 255, font)
        mask = mask.transpose(Image.Transpose.ROTATE_90)
        self.image.paste(DIM, (at[0] - mask.width // 2, at[1] - mask.height // 2), mask)

    def mark(self, at: Place, size: float = 10) -> None:
        """SYNTHETIC, near the upper left corner of a slice."""
        self.write((at[0] + 4, at[1] + 4), "SYNTHETIC", MARK, size, "la", bold=True)

    def save(self, path: Path, colours: int | None = None) -> None:
        """colours: keep only so many, for a smaller file."""
        save_image(self.image, path, colours)


def resized(image: NDArray[Any], width: int, height: int, smooth: bool = True) -> NDArray[np.float32]:
    """[lines, columns], NaN taken for 0 -> [height, width], by Lanczos' filter or by the nearest pixel."""
    from PIL import Image

    rule = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    known = np.ascontiguousarray(np.nan_to_num(image), np.float32)
    return np.asarray(Image.fromarray(known).resize((width, height), rule))


def coloured(share: NDArray[np.floating[Any]], colours: Sequence[str]) -> Picture:
    """Values from 0 to 1, clipped -> colours [..., 3] along a ramp through these, evenly spaced."""
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.float32)
    place = np.clip(share, 0, 1) * (len(stops) - 1)
    below = np.minimum(place.astype(np.intp), len(stops) - 2)
    part = (place - below)[..., None]
    mixed: Picture = (stops[below] * (1 - part) + stops[below + 1] * part).round().astype(np.uint8)
    return mixed


@lru_cache(32)
def _font(size: float, bold: bool) -> "FreeTypeFont | ImageFont":
    """DejaVu Sans, which has the letters of most names, from matplotlib's data; Pillow's own if it lies elsewhere."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder) / "mpl-data" / "fonts" / "ttf" / name
        if file.exists():
            return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)
