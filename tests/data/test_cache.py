import errno
import locale
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polycontrast.data import cache, intensity
from polycontrast.data.cache import Entry
from polycontrast.errors import UserError
from polycontrast.io import formats
from polycontrast.io.layout import find_cases

from .. import tiny

CONTRASTS = ("T1", "T1ce", "T2", "FLAIR")


def entry(cohort: Path, folder: Path, contrasts: tuple[str, ...] = CONTRASTS) -> Entry:
    (found,) = cache.cached(find_cases(cohort), contrasts, folder)
    return found


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return tiny.draw_case(tmp_path / "cohort", "Tiny_0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_an_entry_holds_the_normalised_brain_in_canonical_orientation(case: Path, folder: Path) -> None:
    found = entry(case.parent, folder)
    images, labels = tiny.images(0)
    raw = {name: array[::-1, ::-1] for name, array in images.items()}  # LPS -> RAS
    mask = intensity.brain_mask(list(raw.values()))
    (a, b), (c, d), (e, f) = found.box
    box = np.s_[a:b, c:d, e:f]
    np.testing.assert_array_equal(found.mask(slice(None)).transpose(1, 2, 0), mask[box])
    assert mask[box].sum() == mask.sum()
    for i, name in enumerate(("t1", "t1ce", "t2", "flair")):
        fit = intensity.fit(raw[name], mask)
        assert found.intensities[i] == fit
        stored = found.images(slice(None))[:, i].transpose(1, 2, 0)
        np.testing.assert_allclose(stored, fit.apply(raw[name], mask)[box], atol=2e-3)
        np.testing.assert_allclose(found.area[i], (raw[name][box] != 0).sum(axis=(0, 1)) * tiny.SPACING**2)
    for region, values in {"whole": (1, 2, 4), "core": (1, 4), "enhancing": (4,)}.items():
        truth = np.isin(labels[::-1, ::-1], values)[box]
        np.testing.assert_array_equal(found.lesion(slice(None), region).transpose(1, 2, 0), truth)
    assert (found.shape, found.spacing) == ((48, 48, 12), (5, 5, 5))
    assert found.contrasts == CONTRASTS
    assert found.segmented


def test_a_single_slice_is_read_like_its_row(case: Path, folder: Path) -> None:
    found = entry(case.parent, folder)
    np.testing.assert_array_equal(found.images(3), found.images(slice(None))[3])
    np.testing.assert_array_equal(found.lesion(3), found.lesion(slice(None))[3])


def test_an_entry_of_a_foreign_name_is_read_in_any_locale(tmp_path: Path, folder: Path) -> None:
    case = tiny.draw_case(tmp_path / "cohort", "Müller_1")
    usual = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        assert [entry(case.parent, folder).id for _ in range(2)] == ["Müller_1"] * 2
    finally:
        locale.setlocale(locale.LC_CTYPE, usual)


def test_the_second_call_reads_no_volume(case: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = entry(case.parent, folder)

    def refuse(path: object) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(formats, "read", refuse)
    second = entry(case.parent, folder)
    assert second.folder == first.folder
    assert second.intensities == first.intensities
    np.testing.assert_array_equal(second.area, first.area)


def test_a_changed_file_makes_a_new_entry_even_if_its_size_is_the_same(case: Path, folder: Path) -> None:
    (case / "Tiny_0_t2.nii.gz").unlink()
    tiny.write(case / "Tiny_0_t2.nii", tiny.images(0)[0]["t2"])
    first = entry(case.parent, folder)
    tiny.write(case / "Tiny_0_t2.nii", tiny.images(5)[0]["t2"])
    second = entry(case.parent, folder)
    assert second.folder != first.folder
    assert second.intensities[2] != first.intensities[2]
    assert second.intensities[1] == first.intensities[1]


def test_a_subset_of_contrasts_is_an_entry_of_its_own(case: Path, folder: Path) -> None:
    some = entry(case.parent, folder, ("FLAIR", "T2"))
    assert some.contrasts == ("FLAIR", "T2")
    assert some.images(0).shape[0] == 2
    assert some.folder != entry(case.parent, folder).folder


def test_what_a_case_lacks_is_left_out(tmp_path: Path, folder: Path) -> None:
    tiny.draw_case(tmp_path / "cohort", "Part", t1ce=None, seg=None)
    found = entry(tmp_path / "cohort", folder)
    assert found.contrasts == ("T1", "T2", "FLAIR")
    assert not found.segmented
    assert not found.lesion(slice(None)).any()


def test_a_case_with_none_of_the_contrasts_is_refused(case: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="Tiny_0 has none of PD"):
        entry(case.parent, folder, ("PD",))


def test_a_segmentation_on_another_grid_is_refused(case: Path, folder: Path) -> None:
    moved = tiny.LPS.copy()
    moved[0, 3] = 4
    tiny.write(case / "Tiny_0_seg.nii.gz", tiny.images(0)[1], moved)
    with pytest.raises(UserError, match="different grids") as caught:
        entry(case.parent, folder)
    assert caught.value.path == case
    assert not list(folder.glob("*"))


def test_a_constant_image_is_refused_with_its_name(case: Path, folder: Path) -> None:
    tiny.write(case / "Tiny_0_flair.nii.gz", np.full((48, 48, 12), 3, np.float32))
    with pytest.raises(UserError, match="constant") as caught:
        entry(case.parent, folder)
    assert caught.value.path == case / "Tiny_0_flair.nii.gz"


def test_a_background_of_another_value_is_no_brain(case: Path, folder: Path) -> None:
    right = entry(case.parent, folder)
    for name in ("t1", "t2"):
        array = tiny.images(0)[0][name]
        tiny.write(case / f"Tiny_0_{name}.nii.gz", np.where(array == 0, np.float32(2.6e-5), array))
    found = entry(case.parent, folder)
    assert found.folder != right.folder
    assert (found.box, found.intensities) == (right.box, right.intensities)
    np.testing.assert_array_equal(found.images(slice(None)), right.images(slice(None)))
    np.testing.assert_array_equal(found.area, right.area)


def test_a_build_that_dies_leaves_no_entry(case: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_json", _die)
        with pytest.raises(KeyboardInterrupt):
            entry(case.parent, folder)
    assert not list(folder.iterdir())
    assert entry(case.parent, folder).segmented


def test_what_a_killed_build_leaves_aside_is_not_taken_for_an_entry(
    case: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_json", _die)
        patch.setattr(cache.shutil, "rmtree", lambda *_, **__: None)  # SIGKILL cleans nothing up
        with pytest.raises(KeyboardInterrupt):
            entry(case.parent, folder)
    assert all(left.name.startswith(".") for left in folder.iterdir())
    assert entry(case.parent, folder).images(0).shape[0] == 4


def test_two_processes_may_make_the_same_entry(case: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(path: Path, meta: dict[str, Any]) -> None:
        with monkeypatch.context() as patch:  # meanwhile the other process does the whole of it
            patch.setattr(cache, "write_json", written)
            entry(case.parent, folder)
        written(path, meta)

    written = cache.write_json
    monkeypatch.setattr(cache, "write_json", late)
    assert entry(case.parent, folder).images(0).shape[0] == 4
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("9 requested and 3 written")]
)
def test_a_full_disk_is_told_and_leaves_nothing(
    case: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match=r"No space left|9 requested") as caught:
        entry(case.parent, folder)
    assert "--cache" in caught.value.hint
    assert not list(folder.iterdir())


def test_a_damaged_entry_is_told_and_made_anew_once_it_is_removed(case: Path, folder: Path) -> None:
    found = entry(case.parent, folder)
    stored = found.folder / "images.npy"
    stored.write_bytes(stored.read_bytes()[:500])
    with pytest.raises(UserError, match="damaged") as caught:
        found.images(0)
    assert caught.value.path == found.folder
    assert "made anew" in caught.value.hint
    (found.folder / "meta.json").unlink()  # as an unpacking that was cut short would leave it
    assert entry(case.parent, folder).images(0).any()


def test_a_cache_folder_that_cannot_be_made_is_told(case: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        entry(case.parent, tmp_path / "file" / "cache")


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / "polycontrast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == Path.home() / ".cache" / "polycontrast"


def _die(*_: object) -> None:
    raise KeyboardInterrupt
