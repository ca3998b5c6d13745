"""Pictures: orientation, marks, windows and files. What they look like is for eyes to judge."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from polycontrast import pictures
from polycontrast.errors import UserError
from polycontrast.pictures import sheet
from polycontrast.pictures.sheet import Sheet


@pytest.fixture(name="volume")
def _volume():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 24, 16)), indexing="ij")
    return np.where(x**2 + y**2 + z**2 < 0.8, 0.6 + 0.2 * x, 0).astype(np.float32)


@pytest.fixture(name="charted")
def _charted(monkeypatch):
    """Every text of the figures that are saved."""
    found: list[str] = []
    save = Figure.savefig

    def spy(self, *args, **kwargs):
        found.extend(t.get_text() for t in self.findobj(lambda a: hasattr(a, "get_text")))
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return found


@pytest.fixture(name="written")
def _written(monkeypatch):
    """(text, place) of every text on a sheet."""
    found: list[tuple[str, tuple[int, int]]] = []

    def spied(write):
        return lambda self, at, text, *args, **kwargs: (
            found.append((text, at)),
            write(self, at, text, *args, **kwargs),
        )

    for name in ("write", "write_up"):
        monkeypatch.setattr(Sheet, name, spied(getattr(Sheet, name)))
    return found


@pytest.fixture(name="texts")
def _texts(written):
    """The texts alone, once the sheet is drawn."""
    return lambda: [text for text, _ in written]


@pytest.fixture(name="placed")
def _placed(monkeypatch):
    """(picture, its left and top) of every slice and ramp on a sheet."""
    found: list[tuple[np.ndarray, tuple[int, int]]] = []
    place = Sheet.place
    monkeypatch.setattr(Sheet, "place", lambda self, *what: (found.append(what), place(self, *what)))
    return found


def draw(path: Path, volume: np.ndarray, spacing=(1.0, 1.0, 1.0)) -> Path:
    panels = {"T2": volume, "T1 from T2": volume, "real T1": volume, "difference": volume * 0, "confidence": volume}
    pictures.mosaic(
        path, panels, spacing=spacing, center=pictures.center(volume != 0), title="case: T1 from T2",
        synthetic={"T1 from T2"},
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("row", "voxel", "corner"),
    [
        (0, (-1, -1, 1), (0, 0)),  # axial: the patient's right and front at the top left
        (1, (-1, 1, -1), (0, 0)),  # coronal: right and top at the top left
        (2, (1, -1, -1), (0, 0)),  # sagittal: front and top at the top left
        (0, (0, 0, 1), (-1, -1)),  # axial: left and back at the bottom right
    ],
)
def test_slices_are_shown_as_radiologists_do(row, voxel, corner):
    volume = np.zeros((4, 5, 6), np.float32)
    volume[voxel] = 1
    assert pictures.plane(volume, row, (1, 1, 1))[corner] == 1


def test_the_center_is_where_the_planes_cut_most_of_the_region():
    mask = np.zeros((10, 10, 10), bool)
    mask[2:5, 4, 4] = mask[3, 2:7, 4] = mask[3, 4, 4:6] = True
    assert pictures.center(mask) == (3, 4, 4)


def test_without_a_region_the_center_is_the_middle():
    assert pictures.center(np.zeros((10, 12, 14), bool)) == (5, 6, 7)


def test_every_synthetic_panel_says_so_in_every_plane(tmp_path, volume, texts):
    draw(tmp_path / "m.png", volume)
    assert texts().count("SYNTHETIC") == 3
    assert any("right is on the left" in t for t in texts())


def test_the_confidence_of_every_contrast_has_the_window_of_confidence(tmp_path, volume, texts):
    panels = {"T2": volume, "T1 synthetic": volume, "T1 confidence": volume, "FLAIR confidence": volume}
    pictures.mosaic(
        tmp_path / "m.png", panels, spacing=(1.0, 1.0, 1.0), center=(10, 12, 8), title="case",
        synthetic=list(panels)[1:],
    )  # fmt: skip
    assert sum("80 % interval" in text for text in texts()) == 2
    assert texts().count("SYNTHETIC") == 9


def test_a_mosaic_shows_true_proportions(tmp_path, volume):
    one = Image.open(draw(tmp_path / "a.png", volume)).size
    tall = Image.open(draw(tmp_path / "b.png", volume, spacing=(1.0, 1.0, 3.0))).size
    assert tall[1] > 1.5 * one[1]


def test_every_slice_has_its_size_in_mm_under_its_label_and_covers_no_other(tmp_path, volume, placed, written):
    path = draw(tmp_path / "m.png", volume, spacing=(1.0, 1.5, 3.0))
    boxes = [(*at, picture.shape[1], picture.shape[0]) for picture, at in placed if len(picture) > 7]  # no colour bars
    assert len(boxes) == 15
    mm = (20 * 1.0, 24 * 1.5, 16 * 3.0)  # the brain fills the volume
    for (across, up), box in zip([(0, 1), (0, 2), (1, 2)] * 5, boxes, strict=True):
        assert box[2:] == pytest.approx((212 / 36 * mm[across], 212 / 36 * mm[up]), abs=0.51)
    wide, tall = Image.open(path).size
    for i, (left, top, width, height) in enumerate(boxes):
        assert 0 < left < left + width < wide
        assert 0 < top < top + height < tall
        assert all(left + width <= x or x + w <= left or top + height <= y or y + h <= top for x, y, w, h in boxes[:i])
    for column, label in enumerate(("T2", "T1 from T2", "real T1", "difference", "confidence")):
        ((x, y),) = (at for text, at in written if text == label)
        for left, top, width, _ in boxes[3 * column : 3 * column + 3]:
            assert x == pytest.approx(left + width / 2, abs=1)
            assert y < top


def test_a_window_clips_what_lies_beyond_and_colours_nothing_outside_the_brain(tmp_path, volume, placed):
    there = volume != 0
    panels = {"T2": there * np.float32(9), "difference": np.where(there, np.float32(9), np.float32(-9))}
    pictures.mosaic(tmp_path / "m.png", panels, spacing=(1.0, 1.0, 1.0), center=(10, 12, 8), title="case")
    grey, difference = placed[0][0], placed[4][0]
    middle = grey.shape[0] // 2, grey.shape[1] // 2
    assert grey[middle].tolist() == [255, 255, 255]
    assert difference[middle].tolist() == [0xFF, 0xE3, 0xB8]  # the last of its ramp
    assert (difference[0] == 0).all()


@pytest.mark.parametrize("length", [3, 17, 40, 120])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_title_ends_within_its_picture(tmp_path, volume, length, columns):
    panels = {f"T{i}": volume for i in range(columns)}
    title = ("Brats18_CBICA_AQQ_1: T1 from T2 " * 4)[:length]
    pictures.mosaic(tmp_path / "m.png", panels, spacing=(1.0, 1.0, 1.0), center=(10, 12, 8), title=title)
    head = np.asarray(Image.open(tmp_path / "m.png"))[:30]
    assert head.any()
    assert not head[:, -2:].any()


def test_letters_of_many_names_are_drawn(tmp_path, volume):
    def head(title: str) -> bytes:
        pictures.mosaic(tmp_path / "m.png", {"T2": volume}, spacing=(1.0,) * 3, center=(10, 12, 8), title=title)
        return np.asarray(Image.open(tmp_path / "m.png"))[:30].tobytes()

    unknown = head("\U0010ffff")
    assert len({head(letter) for letter in "éüßŁЖω±−"} | {unknown}) == 9


def test_thin_slices_leave_room_for_their_words(tmp_path):
    thin = np.ones((60, 60, 6), np.float32)
    found = []
    for value in (0.001, 1.25):  # black slices, white ones
        pictures.mosaic(
            tmp_path / "m.png", {"T1": thin * value}, spacing=(3.0, 3.0, 1.0), center=(30, 30, 3), title="a",
            synthetic={"T1"},
        )  # fmt: skip
        picture = np.asarray(Image.open(tmp_path / "m.png")).astype(int)
        found.append(int(((picture[..., 0] > 240) & (picture[..., 2] < 60)).sum()))  # the colour of marks
    assert found[0] > 300
    assert found[1] > 0.6 * found[0]  # the edges of letters are brighter on white


def test_without_matplotlibs_font_there_is_another(tmp_path, volume, monkeypatch):
    usual = draw(tmp_path / "m.png", volume).read_bytes()
    monkeypatch.setattr(sheet, "_font", sheet._font.__wrapped__)  # without what it remembers
    monkeypatch.setattr(sheet, "find_spec", lambda _: None)
    assert draw(tmp_path / "m.png", volume).read_bytes() != usual


def test_what_is_not_a_number_is_black_and_nothing_beside_it(tmp_path, placed):
    image = np.full((40, 40), 0.6, np.float32)
    image[20, 20] = np.nan
    pictures.preview(tmp_path / "p.png", image[None, None], ["a"], ["A"], "x")
    assert 0 < (placed[0][0] < 60).all(axis=2).sum() < 4 * (156 / 40) ** 2


def test_what_is_too_bright_makes_no_dark_ring(tmp_path, placed):
    image = np.full((40, 40), 0.6, np.float32)
    image[20, 20] = 6.0
    pictures.preview(tmp_path / "p.png", image[None, None], ["a"], ["A"], "x")
    assert placed[0][0].min() > 90


def test_an_image_of_a_line_is_drawn(tmp_path, placed):
    pictures.preview(tmp_path / "p.png", np.ones((1, 1, 400, 1), np.float32), ["a"], ["A"], "x")
    assert placed[0][0].any()


def test_a_colour_bar_tells_its_windows_ends_and_middle(tmp_path, volume, texts):
    draw(tmp_path / "m.png", volume)
    assert {"0", "0.625", "1.25", "-0.5", "0.5", "0.25"} <= set(texts())


def test_the_same_picture_has_the_same_bytes_and_is_small(tmp_path, volume):
    first, second = (draw(tmp_path / n, volume).read_bytes() for n in ("a.png", "b.png"))
    assert first == second
    assert len(first) < 500_000


def test_a_picture_that_cannot_be_written_is_the_users_error_and_leaves_nothing(tmp_path, volume):
    (tmp_path / "file").touch()
    with pytest.raises(UserError):
        draw(tmp_path / "file" / "m.png", volume)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_curves_draw_every_number_of_the_log_but_its_clock(tmp_path, charted):
    records = [{"images": 64 * i, "updates": i, "seconds": 1.0, "phase": "all", "d_loss": -1.0 - i} for i in range(30)]
    records[3] |= {"g_rec": 250.0, "d_gp": float("nan")}
    pictures.curves(tmp_path / "c.png", records)
    assert {"d_loss", "g_rec"} <= set(charted)
    assert not {"updates", "seconds", "phase", "images", "d_gp"} & set(charted)


def test_a_term_that_was_never_logged_is_said_to_be_so(tmp_path, charted):
    pictures.curves(tmp_path / "c.png", [{"images": 1, "d_loss": 1.0}], ["d_loss", "g_seg"])
    assert "not logged" in charted


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1.0, 1e3], "log"), ([1.0, 2.0], "linear"), ([-1.0, 2.0, 0.1], "linear"), ([-1e5, 1.0, 2.0, 1.5], "symlog")],
)
def test_axes_follow_what_the_values_span(tmp_path, monkeypatch, values, scale):
    scales: list[str] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (scales.append(self.axes[0].get_yscale()), save(self, *a, **k))
    )
    pictures.curves(tmp_path / "c.png", [{"images": i, "a": v} for i, v in enumerate(values)])
    assert scales == [scale]


def test_a_preview_marks_its_synthetic_columns(tmp_path, volume, texts):
    slices = np.stack([np.stack([volume[:, :, z]] * 3) for z in (6, 8)])
    pictures.preview(tmp_path / "p.png", slices, ["a", "b"], ["T2", "T1 fake", "T1 real"], "x", synthetic={"T1 fake"})
    assert texts().count("SYNTHETIC") == 2
    assert {"a", "b", "T2", "T1 fake", "T1 real"} <= set(texts())


def test_a_mark_of_a_preview_keeps_its_colour_among_greys(tmp_path):
    noise = np.random.default_rng(0).random((2, 3, 80, 90), np.float32)
    pictures.preview(tmp_path / "p.png", noise, ["a", "b"], ["A", "B", "C"], "x", synthetic={"C"})
    picture = np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    assert (abs(picture - (0xFF, 0xB0, 0x00)).max(axis=2) < 8).sum() > 50


def test_a_real_row_of_a_preview_is_not_marked(tmp_path, volume, texts):
    slices = np.stack([np.stack([volume[:, :, z]] * 3) for z in (5, 6, 8)])
    pictures.preview(
        tmp_path / "p.png", slices, ["real", "a", "b"], ["T2", "T1", "FLAIR"], "x",
        synthetic={"T1", "FLAIR"}, real_rows={"real"},
    )  # fmt: skip
    assert texts().count("SYNTHETIC") == 4


@pytest.mark.parametrize("colour", [(), (3,)])
def test_photographs_are_shown_upright_and_whole(tmp_path, placed, colour):
    images = np.zeros((1, 2, 8, 6, *colour), np.float32)
    images[0, 0, 0, 5] = 1.25  # the upper right
    pictures.preview(tmp_path / "p.png", images, ["a"], ["A", "B"], "x", photographs=True)
    picture, width, height = placed[0][0], 156, 208
    assert picture.shape == (height, width, 3)
    assert picture[:13, -13:].min() > 100
    assert not picture[height // 2 :].any()
    assert not picture[:, : width // 4].any()  # Lanczos' filter rings


def test_a_colour_keeps_its_channels(tmp_path, placed):
    images = np.zeros((1, 1, 8, 6, 3), np.float32)
    images[..., 1] = 1.25
    pictures.preview(tmp_path / "p.png", images, ["a"], ["A"], "x", photographs=True)
    assert (placed[0][0] == (0, 255, 0)).all()
