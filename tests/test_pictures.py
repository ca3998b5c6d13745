"""Pictures: orientation, marks, windows and files. What they look like is for eyes to judge."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from polycontrast import pictures
from polycontrast.errors import UserError


@pytest.fixture(name="volume")
def _volume():
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (20, 24, 16)), indexing="ij")
    return np.where(x**2 + y**2 + z**2 < 0.8, 0.6 + 0.2 * x, 0).astype(np.float32)


@pytest.fixture(name="texts")
def _texts(monkeypatch):
    """Every text of the figures that are saved."""
    found: list[str] = []
    save = Figure.savefig

    def spy(self, *args, **kwargs):
        found.extend(t.get_text() for t in self.findobj(lambda a: hasattr(a, "get_text")))
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
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
    assert texts.count("SYNTHETIC") == 3
    assert any("right is on the left" in t for t in texts)


def test_the_confidence_of_every_contrast_has_the_window_of_confidence(tmp_path, volume, texts):
    panels = {"T2": volume, "T1 synthetic": volume, "T1 confidence": volume, "FLAIR confidence": volume}
    pictures.mosaic(
        tmp_path / "m.png", panels, spacing=(1.0, 1.0, 1.0), center=(10, 12, 8), title="case",
        synthetic=list(panels)[1:],
    )  # fmt: skip
    assert sum("80 % interval" in text for text in texts) == 2
    assert texts.count("SYNTHETIC") == 9


def test_a_mosaic_shows_true_proportions(tmp_path, volume):
    one = Image.open(draw(tmp_path / "a.png", volume)).size
    tall = Image.open(draw(tmp_path / "b.png", volume, spacing=(1.0, 1.0, 3.0))).size
    assert tall[1] > 1.5 * one[1]


def test_every_slice_has_its_size_in_mm_under_its_label_and_covers_no_other(tmp_path, volume, monkeypatch):
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    draw(tmp_path / "m.png", volume, spacing=(1.0, 1.5, 3.0))
    (axes,) = figures[0].axes
    images = [image for image in axes.images if image.get_array().shape[0] > 1]  # but for the ramps of colour bars
    assert len(images) == 15
    inch = {round((i.get_extent()[1] - i.get_extent()[0]) / i.get_array().shape[1], 9) for i in images}
    tall = {round((i.get_extent()[3] - i.get_extent()[2]) / i.get_array().shape[0], 9) for i in images}
    assert max(inch) == pytest.approx(1.5 * min(inch))  # across: 1 mm, or 1.5 where y is across
    assert max(tall) == pytest.approx(2 * min(tall))  # up: 1.5 mm, or 3
    assert min(tall) == pytest.approx(max(inch))
    boxes = [image.get_extent() for image in images]
    for i, (left, right, bottom, top) in enumerate(boxes):
        assert 0 < left < right < figures[0].get_figwidth()
        assert 0 < bottom < top < figures[0].get_figheight()
        assert all(right <= x0 or x1 <= left or top <= y0 or y1 <= bottom for x0, x1, y0, y1 in boxes[:i])
    for column, label in enumerate(("T2", "T1 from T2", "real T1", "difference", "confidence")):
        (text,) = (t for t in axes.texts if t.get_text() == label)
        for left, right, _, top in boxes[3 * column : 3 * column + 3]:
            assert text.get_position()[0] == pytest.approx((left + right) / 2)
            assert text.get_position()[1] > top


def test_a_colour_bar_tells_its_windows_ends_and_middle(tmp_path, volume, texts):
    draw(tmp_path / "m.png", volume)
    assert {"0", "0.625", "1.25", "-0.5", "0.5", "0.25"} <= set(texts)


def test_the_same_picture_has_the_same_bytes_and_is_small(tmp_path, volume):
    first, second = (draw(tmp_path / n, volume).read_bytes() for n in ("a.png", "b.png"))
    assert first == second
    assert len(first) < 500_000


def test_a_picture_that_cannot_be_written_is_the_users_error_and_leaves_nothing(tmp_path, volume):
    (tmp_path / "file").touch()
    with pytest.raises(UserError):
        draw(tmp_path / "file" / "m.png", volume)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_curves_draw_every_number_of_the_log_but_its_clock(tmp_path, texts):
    records = [{"images": 64 * i, "updates": i, "seconds": 1.0, "phase": "all", "d_loss": -1.0 - i} for i in range(30)]
    records[3] |= {"g_rec": 250.0, "d_gp": float("nan")}
    pictures.curves(tmp_path / "c.png", records)
    assert {"d_loss", "g_rec"} <= set(texts)
    assert not {"updates", "seconds", "phase", "images", "d_gp"} & set(texts)


def test_a_term_that_was_never_logged_is_said_to_be_so(tmp_path, texts):
    pictures.curves(tmp_path / "c.png", [{"images": 1, "d_loss": 1.0}], ["d_loss", "g_seg"])
    assert "not logged" in texts


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
    assert texts.count("SYNTHETIC") == 2
    assert {"a", "b", "T2", "T1 fake", "T1 real"} <= set(texts)


def test_a_real_row_of_a_preview_is_not_marked(tmp_path, volume, texts):
    slices = np.stack([np.stack([volume[:, :, z]] * 3) for z in (5, 6, 8)])
    pictures.preview(
        tmp_path / "p.png", slices, ["real", "a", "b"], ["T2", "T1", "FLAIR"], "x",
        synthetic={"T1", "FLAIR"}, real_rows={"real"},
    )  # fmt: skip
    assert texts.count("SYNTHETIC") == 4


@pytest.mark.parametrize("colour", [(), (3,)])
def test_photographs_are_shown_upright_and_whole(tmp_path, monkeypatch, colour):
    shown: list[np.ndarray] = []
    imshow = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, x, **k: (shown.append(x), imshow(self, x, **k)))
    images = np.zeros((1, 2, 8, 6, *colour), np.float32)
    images[0, 0, 0, 5] = 1.25  # the upper right
    pictures.preview(tmp_path / "p.png", images, ["a"], ["A", "B"], "x", photographs=True)
    assert shown[0].shape == (8, 6, *colour)
    assert (shown[0][0, 5] == 1).all()
    assert np.count_nonzero(shown[0].reshape(48, -1).any(axis=1)) == 1
