"""The classifier of contrasts: it learns what real slices show, judges whole volumes, and repeats to the bit."""

import json
from pathlib import Path

import numpy as np
import pytest

from polycontrast.data import grid, intensity
from polycontrast.errors import UserError
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics import classifier
from polycontrast.metrics.classifier import REAL, Classifier, opened, recognised, slices_of, trained
from polycontrast.metrics.reference import load

from .. import tiny

NAMES = ("T1", "T2")
SHAPE = (36, 36, 20)


def drawn(seed: int) -> dict[str, np.ndarray]:
    """A ball of 60 mm that is bright inside (T1) or at its rim (T2), with noise and a gain of its own."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.arange(n) - n / 2 + rng.uniform(-1, 1) for n in SHAPE), indexing="ij")
    far = np.sqrt(sum(a * a for a in axes)) / 12
    profiles = {"t1": 2 - far, "t2": 1 + far}
    return {
        name: np.where(far < 1, rng.uniform(50, 500) * (p + rng.normal(0, 0.1, SHAPE)), 0).astype(np.float32)
        for name, p in profiles.items()
    }


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 40)


@pytest.fixture(name="cases", scope="module")
def _cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("drawn")
    for seed in range(5):
        for name, image in drawn(seed).items():
            tiny.write(folder / f"P{seed}" / f"P{seed}_{name}.nii.gz", image)
    return find_cases(folder)


@pytest.fixture(name="learnt", scope="module")
def _learnt(cases: list[Case]) -> Classifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 80)
        return trained(cases[:3], NAMES)


def synthetic(folder: Path, case: Case, contrast: str, shown: str) -> None:
    """Write a volume that is called one contrast and shows another."""
    image = load(case).images[shown]
    tiny.write(folder / case.id / f"{case.id}_{contrast.lower()}_synth.nii.gz", image)


def test_real_slices_of_unseen_cases_are_named_rightly(learnt: Classifier, cases: list[Case]) -> None:
    shares = recognised(learnt, cases[3:], {}, NAMES)
    assert list(shares) == [REAL]
    assert all(min(shares[REAL][name].values()) > 0.9 for name in NAMES)


def test_a_volume_that_shows_another_contrast_is_found_out(
    learnt: Classifier, cases: list[Case], tmp_path: Path
) -> None:
    for case in cases[3:]:
        synthetic(tmp_path / "good", case, "T1", "T1")
        synthetic(tmp_path / "copy", case, "T1", "T2")
    shares = recognised(learnt, cases[3:], {"good": tmp_path / "good", "copy": tmp_path / "copy"}, ["T1"])
    assert min(shares["good"]["T1"].values()) > 0.9
    assert max(shares["copy"]["T1"].values()) < 0.1


def test_a_volume_that_is_not_there_has_no_share(learnt: Classifier, cases: list[Case], tmp_path: Path) -> None:
    synthetic(tmp_path, cases[3], "T1", "T1")
    shares = recognised(learnt, cases[3:], {"some": tmp_path}, NAMES)["some"]
    made, absent = (case.id for case in cases[3:])
    assert shares["T1"][made] is not None
    assert shares["T1"][absent] is None
    assert shares["T2"] == {made: None, absent: None}


def test_file_units_do_not_matter(cases: list[Case]) -> None:
    """The truth is normalised as a synthetic volume is written: both then are the same slices."""
    real = load(cases[0])
    raw = grid.to_canonical(drawn(0)["t2"], real.geometry.affine)
    own = intensity.fit(raw, real.brain).apply(raw, real.brain)
    np.testing.assert_allclose(
        slices_of(own, real.brain, real.spacing), slices_of(real.images["T2"], real.brain, real.spacing)
    )


def test_slices_are_few_axial_and_empty_outside_the_brain() -> None:
    volume = np.ones((60, 60, 100), dtype=np.float32) * np.arange(100, dtype=np.float32)
    brain = np.zeros(volume.shape, dtype=bool)
    brain[10:50, 10:50, 20:90] = True
    brain[:, :, 85:90] = False
    brain[29, 29, 85:90] = True  # too little to count
    slices = slices_of(volume, brain, (2.0, 2.0, 2.0))
    assert slices.shape == (22, 96, 96)  # 65 slices, every third
    assert [round(float(s.max())) for s in slices[:3]] == [20, 23, 26]
    assert slices[:, 0].max() == 0
    nothing = slices_of(volume, np.zeros_like(brain), (1.0, 1.0, 1.0))
    assert nothing.shape == (0, 96, 96)


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(cases: list[Case], monkeypatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 3)
    first, again, other = (trained(cases[:2], NAMES, seed).network.state_dict() for seed in (0, 0, 1))
    assert all((first[key] == again[key]).all() for key in first)
    assert any((first[key] != other[key]).any() for key in first)


def test_it_is_kept_and_trained_anew_only_for_other_cases(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 2)
    first = opened(tmp_path, cases[:2], NAMES)
    stamp = (tmp_path / "weights.safetensors").stat().st_mtime_ns
    again = opened(tmp_path, cases[:2], NAMES)
    assert (tmp_path / "weights.safetensors").stat().st_mtime_ns == stamp
    slices = slices_of(load(cases[0]).images["T1"], load(cases[0]).brain, load(cases[0]).spacing)
    assert first.named(slices) == again.named(slices)
    opened(tmp_path, cases[:3], NAMES)
    assert (tmp_path / "weights.safetensors").stat().st_mtime_ns > stamp
    assert json.loads((tmp_path / "classifier.json").read_text(encoding="utf-8"))["cases"] == [
        case.id for case in cases[:3]
    ]


def test_the_name_of_a_slice_does_not_depend_on_its_neighbours(learnt: Classifier, cases: list[Case]) -> None:
    real = load(cases[4])
    slices = slices_of(real.images["T2"], real.brain, real.spacing)
    assert learnt.named(slices) == [learnt.named(one[None])[0] for one in slices]


def test_a_contrast_that_no_case_has_is_refused(cases: list[Case]) -> None:
    with pytest.raises(UserError, match="no real slice of FLAIR"):
        trained(cases[:2], ("T1", "FLAIR"))
