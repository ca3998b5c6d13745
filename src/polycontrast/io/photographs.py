"""Photographs as files: PNG, JPEG, TIFF and BMP of 8 or 16 bits, grey or colour; what is written is PNG.

Pillow reads them. It cuts colour of 16 bits down to 8 without a word, so such files are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from polycontrast.errors import UserError
from polycontrast.io.files import atomic_write, open_input
from polycontrast.io.volume import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
LARGEST = 2**26  # pixels: a header that claims more is taken for a mistake or an attack
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_GREY, _GREY_16, _COLOUR = ("1", "L", "LA"), ("I;16", "I;16L", "I;16B"), ("P", "PA", "RGB", "RGBA")


@dataclass(frozen=True)
class Photo:
    """pixels [K, H, W] float32, the range of the file's type as [-1, 1], K = 1 or 3; bits: 8 or 16, as in the file."""

    pixels: Array
    bits: int = 8


def find_photographs(folder: Path) -> list[Path]:
    """The images that lie in a folder, in the order of their names; a UserError if there is none."""
    if not folder.is_dir():
        raise UserError("no such folder", hint="check the spelling of the path", path=folder)
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise UserError("no image in this folder", hint=f"images end in {', '.join(SUFFIXES)}", path=folder)
    return sorted(found)


def read(path: Path, channels: int) -> Photo:
    """One photograph, upright, with this number of channels; a grey one is repeated where colour is asked for.

    Raises UserError for a file that cannot be read, a colour image where grey is asked for, colour of 16 bits, several
    pages, transparency, other kinds of pixels, and sizes of more than `LARGEST` pixels, which are not decoded.
    """
    with _opened(path) as image:
        _check(image, channels, path)
        bits = 16 if image.mode in _GREY_16 else 8
        flat = _opaque(ImageOps.exif_transpose(image), path)
        if bits == 8:
            flat = flat.convert("L" if image.mode in _GREY else "RGB")
        values = np.asarray(flat).astype(np.float32) * np.float32(2 / (2**bits - 1)) - 1
    planes = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    return Photo(np.array(np.broadcast_to(planes, (channels, *planes.shape[1:])), order="C"), bits)


def write_png(path: Path, photo: Photo, description: str) -> None:
    """Write [-1, 1] over the whole range of `bits` (colour: 8), values beyond it clipped. Same pixels, same bytes."""
    top = 2**photo.bits - 1
    levels = np.clip(np.rint((photo.pixels + 1) * (top / 2)), 0, top)
    levels = levels.astype(np.uint8 if photo.bits == 8 else np.uint16)
    image = Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0)))
    text = PngInfo()
    text.add_text("Description", description)
    with atomic_write(path) as part:
        image.save(part, format="PNG", pnginfo=text)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image with nothing but its header read; whatever Pillow raises inside becomes a UserError."""
    with open_input(path) as file:
        try:
            with Image.open(file, formats=_FORMATS) as image:
                yield image
        except UserError:
            raise
        except Image.DecompressionBombError:
            raise _too_large(path, "far more") from None
        except Exception as error:  # Pillow raises many kinds for a damaged file, also SyntaxError and struct.error
            told = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
            hint = "PNG, JPEG, TIFF and BMP are read; is the file damaged?"
            raise UserError(f"cannot be read as an image{told}", hint, path) from None


def _check(image: Image.Image, channels: int, path: Path) -> None:
    """Refuse by the header what must not, or cannot, be decoded."""
    if image.width * image.height > LARGEST:
        raise _too_large(path, f"{image.width} x {image.height}")
    if image.mode not in (*_GREY, *_GREY_16, *_COLOUR):
        raise UserError(f"pixels of the kind {image.mode}", "save it as grey or RGB, of 8 bits (grey: or 16)", path)
    if image.mode in _COLOUR and isinstance(image, ImageFile.ImageFile) and ";16" in str(image.tile):
        raise UserError("colour of 16 bits", "save it with 8 bits a channel; grey may have 16", path)
    if image.mode in _COLOUR and channels == 1:
        raise UserError("a colour image, where grey is expected", "save it as grey, or set channels to 3", path)
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise UserError("a TIFF of several pages", "save each page as a file of its own", path)


def _too_large(path: Path, found: str) -> UserError:
    return UserError(f"an image of {found} pixels, more than {LARGEST / 1e6:.0f} million", "shrink it first", path)


def _opaque(image: Image.Image, path: Path) -> Image.Image:
    """The image without an alpha channel that says nothing; one that says something is refused."""
    if not image.has_transparency_data:
        return image
    layered = image.convert("LA" if image.mode in _GREY else "RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        raise UserError("a partly transparent image", "put it on a background first", path)
    return layered.convert(layered.mode[:-1])
