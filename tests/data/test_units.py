from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polycontrast.data.cache import Entry, cached
from polycontrast.data.configs import DataConfig
from polycontrast.data.dataset import SliceDataset
from polycontrast.data.units import fit_units
from polycontrast.errors import UserError
from polycontrast.io.layout import find_cases

from .. import tiny

CONFIG = DataConfig(size=48, min_area=2000.0)


def test_volume_units_have_the_exact_map(entries: list[Entry]) -> None:
    assert fit_units(entries, replace(CONFIG, units="volume")) == dict.fromkeys(CONFIG.contrasts, (0.5, 0.5))


def test_where_every_slice_has_one_maximum_the_map_is_exact(tmp_path: Path) -> None:
    """Then slice-max units are linear in the file's, and so in normalised ones."""
    images, _ = tiny.images(0)
    for image in images.values():
        image[24, 24] = 2000.0  # in each slice of the brain
    tiny.draw_case(tmp_path / "cohort", "Tiny_0", **images)
    entries = cached(find_cases(tmp_path / "cohort"), CONFIG.contrasts, tmp_path / "cache")
    units = fit_units(entries, CONFIG)
    dataset = SliceDataset(entries, CONFIG)
    entry, z = dataset.place(0)
    system, mask, _ = dataset.sample(0)
    for i, name in enumerate(CONFIG.contrasts):
        gain, offset = units[name]
        normalised = entry.images(z)[i][entry.mask(z)].astype(np.float64)
        np.testing.assert_allclose(gain * system[i][mask[0]].numpy() + offset, normalised, atol=0.02)


def test_the_map_is_the_best_line_in_the_least_squares_sense(entries: list[Entry]) -> None:
    """Against a plain fit over the same voxels: every slice of these few cases."""
    units = fit_units(entries, CONFIG)
    volume = replace(CONFIG, units="volume")
    x, v = [], []
    for entry in entries:
        places = [z for _, z in SliceDataset([entry], CONFIG).places]
        for config, found in ((CONFIG, x), (volume, v)):
            dataset = SliceDataset([entry], config)
            by_slice = {dataset.place(i)[1]: dataset.sample(i) for i in range(len(dataset))}
            found += [images[2][mask[0]].numpy() for images, mask, _ in (by_slice[z] for z in places)]
    gain, offset = np.polyfit(np.concatenate(x).astype(np.float64), (np.concatenate(v).astype(np.float64) + 1) / 2, 1)
    assert units["T2"] == pytest.approx((gain, offset), rel=1e-2)


def test_slices_count_that_are_trained_on_whatever_else_is_cached(entries: list[Entry]) -> None:
    """Not only those on which contrasts that the recipe does not know are large too."""
    config = replace(CONFIG, contrasts=("T1", "T2"))
    area = entries[0].area.copy()
    area[3] = 0  # FLAIR
    odd = replace(entries[0], area=area)
    assert fit_units([odd], config) == fit_units(entries[:1], config)
    with pytest.raises(UserError, match="no slice to train on"):
        fit_units([odd], CONFIG)


def test_the_map_of_a_system_s_outputs_undoes_what_the_system_did_to_them(entries: list[Entry]) -> None:
    real = fit_units(entries, CONFIG)
    i = CONFIG.contrasts.index("T1")
    made = fit_units(entries, CONFIG, lambda images: {"T1": images[i] * 2 + 0.5})
    assert made["T1"][0] == pytest.approx(real["T1"][0] / 2)
    assert made["T1"][1] == pytest.approx(real["T1"][1] - 0.25 * real["T1"][0])
    assert made["FLAIR"] == real["FLAIR"]
