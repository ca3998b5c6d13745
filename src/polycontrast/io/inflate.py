"""Streamed decompression that trusts nothing: bounded in memory, every checksum read, every claim checked.

Python's and nibabel's usual way stops when it has the bytes it wants and so never reads the checksum at the end of the
stream; a flipped bit then loads silently as wrong data.
"""

import itertools
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from polycontrast.errors import UserError

CHUNK = 1 << 20
MAX_RATIO = 1032  # deflate cannot compress better than this (zlib's technical note)
TAIL = 1 << 16  # bytes tolerated behind the voxels: some writers pad

_COPY_AGAIN = "the file is damaged: copy or download it again"


def raw_pieces(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces of at most CHUNK bytes."""
    while piece := file.read(CHUNK):
        yield piece


def inflated_pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The decompressed rest of a gzip or zlib file in pieces of at most CHUNK bytes, through all its members.

    Each member's checksum and length are checked once its last piece has been taken. UserError if the stream is
    damaged or ends too early.
    """
    data = file.read(CHUNK)
    while data.lstrip(b"\0"):  # zeros behind the last member are padding
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, told by its first bytes
        while not decoder.eof:
            try:
                piece = decoder.decompress(data, CHUNK)
            except zlib.error as error:
                raise UserError(f"compressed data are corrupt ({error})", hint=_COPY_AGAIN, path=path) from error
            if piece:
                yield piece
            elif not data:
                raise UserError("compressed data end too early", hint=_COPY_AGAIN, path=path)
            if not decoder.eof:
                data = decoder.unconsumed_tail or file.read(CHUNK)
        data = decoder.unused_data or file.read(CHUNK)


def take(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` bytes, fewer if there are no more, and an iterator over all pieces from the beginning."""
    seen: list[bytes] = []
    while sum(map(len, seen)) < size and (piece := next(pieces, b"")):
        seen.append(piece)
    return b"".join(seen)[:size], itertools.chain(seen, pieces)


def collect(pieces: Iterable[bytes], size: int, path: Path) -> NDArray[np.uint8]:
    """The first `size` bytes in one array [size], having read every piece to the end.

    UserError if there are fewer, or more than TAIL beyond them: reading stops there, so that a bomb does no harm.
    """
    buffer = np.empty(size, dtype=np.uint8)  # untouched pages cost no memory until bytes arrive
    seen = 0
    for piece in pieces:
        fits = piece[: max(0, size - seen)]
        buffer[seen : seen + len(fits)] = np.frombuffer(fits, dtype=np.uint8)
        seen += len(piece)
        _check_tail(seen, size, path)
    _check_end(seen, size, path)
    return buffer


def check_length(pieces: Iterable[bytes], size: int, path: Path) -> None:
    """Reads every piece and keeps none; UserError unless there are `size` bytes, give or take TAIL more."""
    seen = 0
    for piece in pieces:
        seen += len(piece)
        _check_tail(seen, size, path)
    _check_end(seen, size, path)


def check_claim(claimed: int, stored: int, path: Path, *, compressed: bool) -> None:
    """UserError if a file of `stored` bytes cannot hold the `claimed` bytes of its header; reads no data."""
    most = stored * MAX_RATIO if compressed else stored
    if claimed > most:
        found = f"the header claims {claimed:,} bytes, but a file of {stored:,} bytes holds at most {most:,}"
        raise UserError(found, hint="the file is truncated or its header is wrong: copy it again", path=path)


def _check_tail(seen: int, size: int, path: Path) -> None:
    if seen > size + TAIL:
        message = f"the file holds more data than the {size:,} bytes its header describes"
        raise UserError(message, hint="its header is wrong: write the image again", path=path)


def _check_end(seen: int, size: int, path: Path) -> None:
    if seen < size:
        raise UserError(f"the file ends after {seen:,} of {size:,} bytes", hint=_COPY_AGAIN, path=path)
