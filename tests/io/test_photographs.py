"""Photographs as files: every kind that is read, every kind that is refused, and what is written."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polycontrast.errors import UserError
from polycontrast.io import photographs
from polycontrast.io.photographs import Photo, read

from .. import photos


def png(width: int, height: int, depth: int, colour: int, body: bytes) -> bytes:
    """A PNG of any kind; colour: 0 grey, 2 RGB, 4 grey and alpha."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_colour_of_8_bits_spans_minus_one_to_one(tmp_path: Path, suffix: str) -> None:
    image = np.array([[[0, 255, 51]]], np.uint8)
    photo = read(photos.save(tmp_path / f"a.{suffix}", image), 3)
    assert photo.bits == 8
    assert photo.pixels.dtype == np.float32
    np.testing.assert_allclose(photo.pixels[:, 0, 0], [-1, 1, -0.6], atol=1e-6)


def test_a_jpeg_is_read_with_lines_from_the_top(tmp_path: Path) -> None:
    photo = read(photos.save(tmp_path / "a.jpg", photos.scene(0)), 3)
    assert photo.pixels.shape == (3, 24, 20)
    assert photo.pixels[:, 3, 3].mean() > photo.pixels[:, 20, 15].mean() + 0.5


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_steps(tmp_path: Path, suffix: str) -> None:
    image = np.array([[0, 1, 65535, 32768]], np.uint16)
    photo = read(photos.save(tmp_path / f"a.{suffix}", image), 1)
    assert photo.bits == 16
    np.testing.assert_allclose(photo.pixels[0, 0], image[0] / 65535 * 2 - 1, atol=1e-7)


def test_a_grey_photograph_is_repeated_where_colour_is_asked_for(tmp_path: Path) -> None:
    pixels = read(photos.save(tmp_path / "a.png", np.array([[0, 255]], np.uint8)), 3).pixels
    np.testing.assert_array_equal(pixels[:, 0], [[-1, 1]] * 3)


def test_a_camera_held_upright_gives_an_upright_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(photos.scene(0)).save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg", 3).pixels.shape == (3, 20, 24)


def test_an_alpha_channel_that_hides_nothing_is_left_out(tmp_path: Path) -> None:
    layers = np.dstack([photos.scene(0), np.full((24, 20), 255, np.uint8)])
    plain = read(photos.save(tmp_path / "a.png", photos.scene(0)), 3)
    np.testing.assert_array_equal(read(photos.save(tmp_path / "b.png", layers), 3).pixels, plain.pixels)


def save_pages(path: Path) -> None:
    page = Image.fromarray(photos.scene(0))
    page.save(path, save_all=True, append_images=[page])


COLOUR_16 = png(1, 1, 16, 2, b"\0" + bytes(6))
BOMB = png(30000, 30000, 8, 0, b"")
LARGE = png(8193, 8193, 8, 0, b"")


@pytest.mark.parametrize(
    ("name", "content", "channels", "words"),
    [
        ("a.png", b"", 3, "cannot be read as an image"),
        ("a.png", b"not an image", 3, "cannot be read as an image"),
        ("a.png", COLOUR_16[:40], 3, "cannot be read as an image"),
        ("a.png", COLOUR_16, 3, "colour of 16 bits"),
        ("a.png", BOMB, 1, "pixels, more than 67 million"),
        ("a.png", LARGE, 1, "8193 x 8193 pixels, more than 67 million"),
        ("a.png", png(1, 1, 8, 2, b"\0" + bytes(3)), 1, "a colour image, where grey is expected"),
        ("a.png", png(1, 1, 8, 4, b"\0" + bytes(2)), 1, "partly transparent"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 3, "cannot be read as an image"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_file(
    tmp_path: Path, name: str, content: bytes, channels: int, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path / name, channels)
    assert caught.value.path == tmp_path / name


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = photos.save(tmp_path / "a.png", noise).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as an image: "):
        read(tmp_path / "a.png", 3)


def test_other_kinds_of_pixels_and_several_pages_are_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (2, 2)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="CMYK"):
        read(tmp_path / "a.jpg", 3)
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match="of the kind F"):
        read(tmp_path / "a.tif", 1)
    save_pages(tmp_path / "b.tif")
    with pytest.raises(UserError, match="several pages"):
        read(tmp_path / "b.tif", 3)


def test_an_absent_file_and_an_empty_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "a.png", 3)
    with pytest.raises(UserError, match="no such folder"):
        photographs.find_photographs(tmp_path / "b")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="no image in this folder"):
        photographs.find_photographs(tmp_path)


def test_images_are_found_by_name_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", ".c.png", "d.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in photographs.find_photographs(tmp_path)] == ["a.png", "b.JPG"]


@pytest.mark.parametrize(("shape", "bits"), [((3, 4, 5), 8), ((1, 4, 5), 8), ((1, 4, 5), 16)])
def test_what_is_written_is_read_again_to_half_a_step(tmp_path: Path, shape: tuple[int, ...], bits: int) -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    photographs.write_png(tmp_path / "a.png", Photo(pixels, bits), "SYNTHETIC B")
    back = read(tmp_path / "a.png", shape[0])
    assert back.bits == bits
    np.testing.assert_allclose(back.pixels, pixels, atol=1.01 / (2**bits - 1))


def test_values_beyond_the_range_are_clipped_and_the_file_says_what_it_is(tmp_path: Path) -> None:
    photographs.write_png(tmp_path / "a.png", Photo(np.array([[[-1.5, 1.5]]], np.float32)), "SYNTHETIC B")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Description"] == "SYNTHETIC B"
        np.testing.assert_array_equal(np.asarray(image), [[0, 255]])
