"""The phantom is like a patient: tissue relations, lesion, background, geometry; and one seed gives one patient."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from polycontrast.data import phantom
from polycontrast.data.anatomy import Tissue
from polycontrast.data.phantom import Phantom, make, write_case, write_cohort
from polycontrast.data.sequences import RELAXATION, SEQUENCES, InversionRecovery, SpinEcho, SpoiledGradientEcho
from polycontrast.errors import UserError
from polycontrast.io import nifti

SHAPE, SPACING = (64, 64, 48), 3.5
TINY = (16, 16, 12)
SLAB = (120, 120, 24)  # the middle of the brain in finer voxels, for tissue that must be pure


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make(5, SHAPE, SPACING)


@pytest.fixture(scope="module")
def fine() -> Phantom:
    return make(5, SLAB, 1.5)


def mean(case: Phantom, contrast: str, tissue: Tissue) -> float:
    where = case.tissue == tissue
    assert where.sum() > 20, f"no {tissue.name} in the phantom"
    return float(case.contrasts[contrast][where].mean())


def test_same_call_gives_the_same_bytes(small: Phantom) -> None:
    again = make(5, SHAPE, SPACING)
    assert again.segmentation.tobytes() == small.segmentation.tobytes()
    for name, image in small.contrasts.items():
        assert again.contrasts[name].tobytes() == image.tobytes()


def test_seeds_differ_in_anatomy_and_noise(small: Phantom) -> None:
    other = make(6, SHAPE, SPACING)
    assert (other.brain != small.brain).sum() > 500
    assert not np.array_equal(other.contrasts["T2"], small.contrasts["T2"])


def test_asking_for_fewer_contrasts_changes_none_of_them(small: Phantom) -> None:
    alone = make(5, SHAPE, SPACING, contrasts=["flair"])
    assert list(alone.contrasts) == ["FLAIR"]
    assert np.array_equal(alone.contrasts["FLAIR"], small.contrasts["FLAIR"])


def test_anatomy_does_not_depend_on_the_grid() -> None:
    litres = [
        make(7, shape, s, contrasts=["T2"]).brain.sum() * s**3 / 1e6 for shape, s in [(SHAPE, 3.5), ((90, 90, 68), 2.5)]
    ]
    assert 1.1 < litres[0] < 2.0
    assert litres[1] == pytest.approx(litres[0], rel=0.05)


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ("T1", [Tissue.WHITE, Tissue.GREY, Tissue.CSF]),
        ("T1", [Tissue.WHITE, Tissue.OEDEMA, Tissue.CSF]),
        ("T1ce", [Tissue.ENHANCING, Tissue.WHITE, Tissue.GREY, Tissue.CSF]),
        ("T2", [Tissue.CSF, Tissue.OEDEMA, Tissue.GREY, Tissue.WHITE]),
        ("FLAIR", [Tissue.OEDEMA, Tissue.GREY, Tissue.WHITE, Tissue.CSF]),
    ],
)
def test_tissues_are_ordered_as_in_patients(fine: Phantom, contrast: str, order: list[Tissue]) -> None:
    levels = [mean(fine, contrast, tissue) for tissue in order]
    assert levels == sorted(levels, reverse=True), dict(zip(order, levels, strict=True))


def test_rim_and_veins_enhance(fine: Phantom) -> None:
    def ratio(contrast: str, tissue: Tissue) -> float:
        return mean(fine, contrast, tissue) / mean(fine, contrast, Tissue.WHITE)

    assert ratio("T1ce", Tissue.ENHANCING) > 1.4 > 1 > ratio("T1", Tissue.ENHANCING)
    assert ratio("T1ce", Tissue.BLOOD) > 1.2 > 1 > ratio("T1", Tissue.BLOOD)
    assert ratio("T1ce", Tissue.NECROSIS) < 1


def test_flair_suppresses_fluid(fine: Phantom) -> None:
    image = fine.contrasts["FLAIR"]
    ventricles = (fine.tissue == Tissue.CSF) & (
        fine.contrasts["T2"] > np.percentile(fine.contrasts["T2"][fine.brain], 98)
    )
    assert ventricles.sum() > 100
    assert image[ventricles].mean() < 0.25 * mean(fine, "FLAIR", Tissue.WHITE)


def test_healthy_twin_has_no_lesion_and_the_same_brain(small: Phantom) -> None:
    healthy = make(5, SHAPE, SPACING, lesion=False)
    assert not healthy.segmentation.any()
    assert (healthy.brain != small.brain).mean() < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_lesion_has_the_three_labels_of_brats_inside_the_brain(seed: int) -> None:
    case = make(seed, SHAPE, SPACING, contrasts=["FLAIR"])
    assert set(np.unique(case.segmentation)) == {0, 1, 2, 4}
    assert case.brain[case.segmentation > 0].all()


def test_cortex_is_a_folded_ribbon(fine: Phantom) -> None:
    share = {t: (fine.tissue == t).sum() / fine.brain.sum() for t in (Tissue.GREY, Tissue.WHITE, Tissue.CSF)}
    assert 0.2 < share[Tissue.GREY] < 0.55
    assert 0.2 < share[Tissue.WHITE] < 0.55
    assert 0.08 < share[Tissue.CSF] < 0.35
    middle = fine.tissue[:, :, SLAB[2] // 2]
    edges = np.count_nonzero((middle[1:] == Tissue.CSF) != (middle[:-1] == Tissue.CSF))
    assert edges > 2.5 * np.count_nonzero(fine.brain[:, :, SLAB[2] // 2].any(axis=0)), "no sulci cross the slice"


def test_background_is_exactly_zero_and_the_brain_is_not(small: Phantom) -> None:
    for image in small.contrasts.values():
        assert np.array_equal(image > 0, small.brain)
        assert np.array_equal(image, np.rint(image))
        assert 250 < image[small.brain].mean() < 1100


def test_skull_adds_a_head_around_the_same_brain(small: Phantom) -> None:
    head = make(5, SHAPE, SPACING, skull=True)
    assert (head.brain != small.brain).mean() < 0.005
    fat = head.tissue == Tissue.FAT
    assert fat.any()
    for image in head.contrasts.values():
        assert image[fat].mean() > 5 * image[head.tissue == Tissue.AIR].mean()


def test_jitter_changes_the_protocol_within_its_bounds() -> None:
    case = make(5, TINY, SPACING, jitter=0.2)
    plain, jittered = SEQUENCES["T2"], case.sequences["T2"]
    assert isinstance(plain, SpinEcho)
    assert isinstance(jittered, SpinEcho)
    assert 0 < abs(math.log(jittered.tr / plain.tr)) <= 0.2
    assert make(5, TINY, SPACING, contrasts=SEQUENCES).sequences == SEQUENCES


@pytest.mark.parametrize("tr", [6000.0, 9000.0])
def test_inversion_time_nulls_its_tissue(tr: float) -> None:
    fluid = RELAXATION[Tissue.CSF]
    assert InversionRecovery(tr, 110, fluid.t1).signal(fluid) == pytest.approx(0, abs=1e-12)


def test_spoiled_echo_is_brightest_at_the_ernst_angle() -> None:
    white = RELAXATION[Tissue.WHITE]
    ernst = math.degrees(math.acos(math.exp(-10 / white.t1)))
    near = [SpoiledGradientEcho(10, 3, ernst + off).signal(white) for off in (-2, 0, 2)]
    assert max(near) == near[1]


def test_written_case_is_read_back_in_the_geometry_of_brats(small: Phantom, tmp_path: Path) -> None:
    case = write_case(small, tmp_path, "Phantom_00005")
    assert sorted(p.name for p in case.iterdir()) == [
        f"Phantom_00005_{k}.nii.gz" for k in ("flair", "seg", "t1", "t1ce", "t2")
    ]
    volume = nifti.read(case / "Phantom_00005_t1ce.nii.gz")
    assert volume.geometry.orientation == "LPS"
    assert volume.geometry.spacing == pytest.approx((SPACING,) * 3)
    assert np.array_equal(volume.array, small.contrasts["T1ce"])
    labels, geometry = nifti.read_labels(case / "Phantom_00005_seg.nii.gz")
    assert np.array_equal(labels, small.segmentation)
    assert np.array_equal(geometry.affine, small.affine)


def test_default_grid_is_that_of_brats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom.anatomy, "BRAIN_MM", (1, 1, 1))  # paint next to nothing: only the grid is looked at
    case = make(0, contrasts=["T2"])
    assert case.brain.shape == (240, 240, 155)
    assert case.affine.tolist() == [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_cohort_has_a_split_that_names_each_case_once(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "cohort", 5, shape=TINY, spacing=SPACING)
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert {role: len(names) for role, names in split.items()} == {"gan": 3, "train": 1, "test": 1}
    assert sorted(name for names in split.values() for name in names) == sorted(
        p.name for p in folder.iterdir() if p.is_dir()
    )


def test_a_cohort_may_have_other_contrasts(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path, 3, shape=TINY, spacing=14.0, contrasts=("T2", "PD"))
    files = sorted(path.name for path in (folder / "Phantom_00001").iterdir())
    assert files == [f"Phantom_00001_{kind}.nii.gz" for kind in ("pd", "seg", "t2")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contrasts": ["DIR"]}, "no phantom of contrast DIR"),
        ({"spacing": 0.0}, "spacing 0"),
        ({"jitter": 2.0}, "jitter 2"),
    ],
)
def test_impossible_wishes_are_told(change: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        make(0, SHAPE, **({"spacing": SPACING} | change))  # type: ignore[arg-type]


def test_cohort_too_small_for_its_roles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="three roles"):
        write_cohort(tmp_path, 2)
