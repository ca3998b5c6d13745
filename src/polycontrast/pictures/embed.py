"""Pictures inside a page: read from files, made smaller where they must be, as addresses that hold their own data."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

TRIES = ((1400, 88), (1400, 75), (1200, 70), (1000, 60), (800, 50), (640, 30))  # widest in pixels, WebP's quality


@dataclass(frozen=True)
class Embedded:
    """A picture for an <img>: its data address and its size in pixels."""

    address: str
    width: int
    height: int


def embed(paths: Sequence[Path], limit: int) -> dict[Path, Embedded]:
    """The pictures, together at most `limit` bytes before base64: a file within its share as it is, a larger one as
    WebP, as wide and as good as its share allows. What small files leave goes to the large ones."""
    left, found = limit, {}
    by_size = sorted(paths, key=lambda path: (path.stat().st_size, path))
    for done, path in enumerate(by_size):
        kind, data, size = _within(path, left // (len(paths) - done))
        left -= len(data)
        found[path] = Embedded(f"data:image/{kind};base64,{b64encode(data).decode('ascii')}", *size)
    return found


def _within(path: Path, limit: int) -> tuple[str, bytes, tuple[int, int]]:
    """(format, bytes, size in pixels); a little more than the limit if even the smallest try is larger."""
    from PIL import Image as pillow

    data = path.read_bytes()
    with pillow.open(BytesIO(data)) as opened:
        kind, image = (opened.format or "png").lower(), opened.convert("RGB")
    size = image.size
    for width, quality in TRIES:
        if len(data) <= limit:
            break
        smaller = image if image.width <= width else image.resize((width, round(image.height * width / image.width)))
        written = BytesIO()
        smaller.save(written, format="WEBP", quality=quality, method=4)
        kind, data, size = "webp", written.getvalue(), smaller.size
    return kind, data, size
