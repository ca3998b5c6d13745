"""Charts of an evaluation and pictures inside a page. What they look like is for eyes to judge."""

import base64
from io import BytesIO

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from polycontrast import pictures
from polycontrast.pictures import charts


@pytest.fixture(name="texts")
def _texts(monkeypatch):
    """Every text of the figures that are saved."""
    found: list[str] = []
    save = Figure.savefig

    def spy(self, *args, **kwargs):
        save(self, *args, **kwargs)
        found.extend(t.get_text() for t in self.findobj(lambda a: hasattr(a, "get_text")))

    monkeypatch.setattr(Figure, "savefig", spy)
    return found


@pytest.fixture(name="plotted")
def _plotted(monkeypatch):
    """The y values of every line that is plotted, by its label."""
    found: dict[str, np.ndarray] = {}
    plot = Axes.plot

    def spy(self, x, y, **kwargs):
        found[kwargs.get("label", "")] = np.asarray(y)
        return plot(self, x, y, **kwargs)

    monkeypatch.setattr(Axes, "plot", spy)
    return found


def test_a_violin_chart_names_its_panels_and_systems(tmp_path, texts):
    rng = np.random.default_rng(0)
    systems = {name: rng.normal(20, 1, 12).tolist() for name in ("synthetic", "mean image")}
    pictures.violins(tmp_path / "v.png", {"PSNR dB ↑, brain": systems, "SSIM ↑, brain": systems})
    assert {"PSNR dB ↑, brain", "SSIM ↑, brain", "synthetic", "mean\nimage"} <= set(texts)


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0, 3.0, 3.0, 3.0, 3.0], [1.0, 2.0]])
def test_few_or_equal_values_are_points_without_a_violin(tmp_path, monkeypatch, values):
    monkeypatch.setattr(Axes, "violinplot", lambda *_, **__: pytest.fail("a violin of nothing"))
    pictures.violins(tmp_path / "v.png", {"a": {"synthetic": values}})
    assert (tmp_path / "v.png").stat().st_size > 0


def test_infinite_values_are_left_out_and_counted(tmp_path, texts):
    pictures.violins(tmp_path / "v.png", {"a": {"synthetic": [1.0, 2.0, float("inf"), float("inf")]}})
    assert "2 infinite" in texts


def test_bias_and_limits_of_agreement_are_those_of_bland_and_altman(tmp_path, texts):
    real = np.array([0.5, 0.7, 0.9, 1.1])
    synthetic = real + np.array([-0.2, -0.1, 0.0, -0.1])
    pictures.bland_altman(tmp_path / "b.png", {"tumour": (real, synthetic)}, "units")
    reach = 1.96 * np.std([-0.2, -0.1, 0.0, -0.1], ddof=1)
    assert f"bias −0.100\nlimits −{0.1 + reach:.3f} to +{reach - 0.1:.3f}" in texts


def test_one_patient_has_a_bias_and_no_limits(tmp_path, texts):
    pictures.bland_altman(tmp_path / "b.png", {"tumour": (np.array([0.5]), np.array([0.7]))}, "units")
    assert "bias +0.200" in texts
    assert not any("limits" in text for text in texts)


def test_spectra_are_averaged_as_ratios_are(tmp_path, plotted):
    frequencies = np.linspace(0.01, 0.5, 5)
    real, synthetic = np.array([[1.0] * 5, [100.0] * 5]), np.array([[4.0] * 5, [25.0] * 5])
    pictures.spectra(tmp_path / "s.png", frequencies, real, synthetic)
    assert plotted["real"] == pytest.approx(10.0)  # geometric: as many times larger as smaller
    assert plotted["synthetic"] == pytest.approx(10.0)


def test_the_mean_line_of_a_joint_histogram_is_the_mean_of_synthetic_values(tmp_path, plotted):
    counts = np.zeros((4, 4))
    counts[1, 0], counts[1, 2] = 10, 30
    pictures.joint_histogram(tmp_path / "j.png", counts, np.linspace(0.0, 4.0, 5))
    assert plotted["mean synthetic"] == pytest.approx([0.25 * 0.5 + 0.75 * 2.5])


def test_an_empty_joint_histogram_is_drawn_all_the_same(tmp_path):
    pictures.joint_histogram(tmp_path / "j.png", np.zeros((4, 4)), np.linspace(0.0, 4.0, 5))
    assert (tmp_path / "j.png").exists()


def test_the_same_chart_has_the_same_bytes_and_is_small(tmp_path):
    rng = np.random.default_rng(0)
    panels = {str(i): {name: rng.normal(20, 1, 20).tolist() for name in "abcd"} for i in range(6)}
    for name in ("a.png", "b.png"):
        pictures.violins(tmp_path / name, panels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").stat().st_size < 150_000


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_stand_out_from_white():
    assert len(set(charts.CYCLE)) == len(charts.CYCLE)
    assert all(1.05 / (_luminance(colour) + 0.05) > 2 for colour in charts.CYCLE)


def noise(path, size, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return path


def test_a_small_picture_is_embedded_as_it_is(tmp_path):
    path = noise(tmp_path / "a.png", (20, 30))
    found = pictures.embed([path], 100_000)[path]
    assert found.address == "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    assert (found.width, found.height) == (30, 20)


def test_embedded_pictures_stay_within_their_limit_and_what_small_ones_leave_is_used(tmp_path):
    small = noise(tmp_path / "small.png", (20, 20))
    large = [noise(tmp_path / f"{i}.png", (900, 1500), i) for i in range(3)]
    found = pictures.embed([*large, small], 900_000)
    data = {path: base64.b64decode(one.address.partition(",")[2]) for path, one in found.items()}
    assert sum(map(len, data.values())) <= 900_000
    assert data[small] == small.read_bytes()
    for path in large:
        image = Image.open(BytesIO(data[path]))
        assert image.format == "WEBP"
        assert image.size == (found[path].width, found[path].height)
        assert image.width / image.height == pytest.approx(1500 / 900, rel=0.01)
