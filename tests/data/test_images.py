"""Photographs as batches: the four layouts, crops and flips, labels, what is held out, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polycontrast.data import open_dataset
from polycontrast.data.configs import PhotoConfig
from polycontrast.data.images import PhotoDataset, centre, fit
from polycontrast.errors import UserError
from polycontrast.io import photographs

from .. import photos
from ..batches import assert_equal, joined

ALIGNED, UNPAIRED, CELEBA, RAFD, JOINT = photos.ALIGNED, photos.UNPAIRED, photos.CELEBA, photos.RAFD, photos.JOINT


def celeba_of(**changed: Any) -> PhotoConfig:
    return replace(CELEBA, sets=(replace(photos.FACES, **changed),))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return photos.draw_pairs(tmp_path / "pairs")


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    return photos.draw_sides(tmp_path / "sides")


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    return photos.draw_celeba(tmp_path / "celeba")


@pytest.fixture
def rafd(tmp_path: Path) -> Path:
    return photos.draw_rafd(tmp_path / "rafd")


def test_a_pair_is_cut_and_flipped_together(pairs: Path) -> None:
    dataset = open_dataset(ALIGNED, pairs)
    batch = dataset.batch(range(8))
    assert batch.images.shape == (8, 2, 3, 16, 16)
    torch.testing.assert_close(batch.images[:, 1], -batch.images[:, 0], atol=1e-5, rtol=0)
    assert bool(batch.present.all())
    assert bool(batch.mask.all())
    assert not bool(batch.lesion.any())
    assert batch.mask.shape == batch.lesion.shape == (8, 1, 3, 16, 16)
    assert batch.labels is None
    assert dataset.units() == {}


def test_a_sample_depends_on_seed_and_index_alone(pairs: Path) -> None:
    first, second = (PhotoDataset(ALIGNED, pairs, seed=3) for _ in range(2))
    assert torch.equal(first.batch([2, 9]).images, second.batch([9, 2]).images.flip(0))
    assert not torch.equal(first.batch(range(8)).images, PhotoDataset(ALIGNED, pairs, seed=4).batch(range(8)).images)


def test_crops_are_of_every_place_and_half_are_flipped(tmp_path: Path) -> None:
    """One image, of which each pixel tells its place; three places across, three along, two ways round."""
    ramp = np.arange(18 * 18, dtype=np.uint16).reshape(18, 18) * 100
    photos.save(tmp_path / "train" / "a.png", np.concatenate([ramp, ramp], axis=1))
    dataset = PhotoDataset(replace(ALIGNED, channels=1), tmp_path)
    found = [dataset.sample(i)[0, 0] for i in range(200)]
    assert len({tuple(x.flatten().tolist()) for x in found}) == 18
    flipped = sum(bool(x[0, 0] > x[0, 1]) for x in found)
    assert 70 < flipped < 130
    whole = torch.from_numpy(ramp / np.float32(65535) * 2 - 1).float()
    torch.testing.assert_close(dataset.sample(0, still=True)[0, 0], whole[1:17, 1:17])
    never = PhotoDataset(replace(ALIGNED, channels=1, flip=False), tmp_path)
    assert all(bool(x[0, 0, 0, 0] < x[0, 0, 0, 1]) for x in map(never.sample, range(20)))


def test_sides_without_pairs_have_orders_and_crops_of_their_own(sides: Path) -> None:
    dataset = PhotoDataset(UNPAIRED, sides)
    assert len(dataset) == 5
    for first, count in ((0, 5), (5, 5)):  # a pass over A shows each image of A once
        assert {dataset.files(i)[0].name for i in range(first, first + count)} == {f"a{n}.png" for n in range(5)}
    assert {dataset.files(i)[1].name for i in range(3)} == {f"b{n}.png" for n in range(3)}
    met = {tuple(file.name for file in dataset.files(i)) for i in range(60)}
    assert len(met) == 15
    images = dataset.batch(range(6)).images
    assert bool((images[:, 0].mean((1, 2, 3)) < images[:, 1].mean((1, 2, 3))).all())
    spots = [(x[0].flatten().argmax(), x[1].flatten().argmin()) for x in images]  # the scene's spot, in A and B
    assert any(a != b for a, b in spots)


def test_faces_are_cropped_at_the_centre_and_told_their_attributes(celeba: Path) -> None:
    dataset = PhotoDataset(CELEBA, celeba)
    batch = dataset.batch(range(12))
    assert batch.images.shape == (12, 1, 3, 16, 16)
    assert batch.labels is not None
    assert batch.known is not None
    assert batch.targets is not None
    assert batch.dataset is not None
    assert bool(batch.known.all())
    assert batch.dataset.tolist() == [0] * 12
    for i in range(12):
        number = int(dataset.files(i)[0].stem)
        assert batch.labels[i].tolist() == [float(number >> 2 & 1), float(number & 1)]  # Young, Bald
    shown = {tuple(row) for row in dataset.batch(range(len(dataset))).labels.tolist()}  # type: ignore[union-attr]
    assert {tuple(row) for row in dataset.batch(range(100)).targets.tolist()} == shown  # type: ignore[union-attr]
    assert torch.equal(batch.targets[3], dataset.batch([3]).targets[0])  # type: ignore[index]


@pytest.fixture
def both(celeba: Path, rafd: Path) -> PhotoDataset:
    """Two data sets that take turns by batches of 4."""
    return PhotoDataset(JOINT, [celeba, rafd], seed=3, batch_size=4)


def test_data_sets_alternate_by_batch_and_each_passes_over_its_own_files(both: PhotoDataset) -> None:
    seen = [batch.dataset.tolist() for batch in islice(both.batches(0, 4), 5) if batch.dataset is not None]
    assert seen == [[0] * 4, [1] * 4, [0] * 4, [1] * 4, [0] * 4]
    assert len(both) == 6 + 4
    for which, suffix, number in ((0, "celeba/images", 6), (1, "rafd", 4)):
        mine = [i for i in range(48) if i // 4 % 2 == which][:number]
        files = {file for i in mine for file in both.files(i)}
        assert len(files) == number
        assert all(file.parent.match(suffix) for file in files)


def test_labels_of_two_data_sets_lie_one_after_the_other(both: PhotoDataset) -> None:
    """Young, Bald | happy, sad."""
    for first, known in ((0, [1, 1, 0, 0]), (4, [0, 0, 1, 1])):
        batch = both.batch(range(first, first + 4))
        assert batch.labels is not None
        assert batch.targets is not None
        assert batch.known is not None
        assert batch.known.tolist() == [[bool(k) for k in known]] * 4
        for told in (batch.labels, batch.targets):
            assert not told[~batch.known].any()
        for i, row in enumerate(batch.labels.tolist()):
            (file,) = both.files(first + i)
            number = int(file.stem) if first == 0 else 0
            moods = [float(name in file.name) for name in photos.EXPRESSIONS]
            assert row == [float(number >> 2 & 1), float(number & 1), *moods]
    rafd = [i for i in range(400) if i // 4 % 2]
    assert {tuple(both.batch([i]).targets[0].tolist()) for i in rafd} == {(0, 0, 1, 0), (0, 0, 0, 1)}  # type: ignore[index]


def test_ranks_and_resumed_runs_draw_the_batches_of_one_process(celeba: Path, rafd: Path, both: PhotoDataset) -> None:
    ranks = [open_dataset(JOINT, [celeba, rafd], 3, 4) for _ in range(2)]
    parts = [islice(data.batches(4, 4, rank, 2), 4) for rank, data in enumerate(ranks)]
    for batch, *shares in zip(islice(both.batches(4, 4), 4), *parts, strict=True):
        assert_equal(batch, joined(shares))
    fourth = list(islice(both.batches(0, 4), 4))[3]
    assert_equal(fourth, next(both.batches(12, 4)))


def test_each_data_set_has_its_own_crop_and_its_own_files_held_out(celeba: Path, rafd: Path) -> None:
    data = PhotoDataset(JOINT, [celeba, rafd])
    assert len(data.held_out) == 2 + 2
    assert [line.split(":")[0] for line in data.cases] == ["celeba/images", "rafd"]
    for index, crop in ((0, 20), (1, 22)):
        (file,) = data.files(index)
        pixels = torch.from_numpy(photographs.read(file, 3).pixels)
        still = centre(fit(pixels, JOINT, file, crop), JOINT)
        torch.testing.assert_close(data.sample(index, still=True)[0], still)


def test_examples_are_of_every_data_set(both: PhotoDataset) -> None:
    batch, _ = both.examples(4)
    assert batch.dataset is not None
    assert batch.dataset.tolist() == [0, 1, 0, 1]


def test_a_folder_is_given_for_each_data_set(celeba: Path, rafd: Path, pairs: Path) -> None:
    with pytest.raises(UserError, match="found 1 folders of photographs, the recipe learns from 2") as caught:
        PhotoDataset(JOINT, celeba)
    assert caught.value.hint == "give one for each data set, in this order: celeba, rafd"
    with pytest.raises(UserError, match="found 2 folders of photographs, the recipe learns from 1"):
        PhotoDataset(ALIGNED, [pairs, pairs])
    with pytest.raises(UserError, match="no such file") as caught:
        PhotoDataset(JOINT, [rafd, celeba])
    assert caught.value.path == rafd / "list_attr_celeba.txt"


def test_the_centre_crop_comes_before_the_resize() -> None:
    face = torch.zeros(3, 24, 20)
    face[:, 2:22] = 1  # what a crop of 20 of 24 lines keeps
    fitted = fit(face, CELEBA, Path("face.png"), crop=20)
    assert fitted.shape == (3, 16, 16)
    assert float(fitted.min()) == pytest.approx(1)
    assert centre(torch.arange(36.0).view(6, 6), replace(CELEBA, load=6, size=2)).tolist() == [[14, 15], [20, 21]]


def test_a_resize_is_antialiased_and_stays_in_range() -> None:
    stripes = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 64, 64)
    config = replace(ALIGNED, channels=1, load=16)
    assert float(fit(stripes, config, Path("a")).abs().max()) < 0.2
    edge = torch.cat([-torch.ones(1, 8, 4), torch.ones(1, 8, 4)], dim=2)
    assert float(fit(edge, config, Path("a")).abs().max()) <= 1


def test_held_out_faces_are_the_same_in_every_run_and_never_trained_on(celeba: Path) -> None:
    first, second = (PhotoDataset(CELEBA, celeba, seed=s) for s in (0, 1))
    assert len(first) == 6
    assert first.held_out == second.held_out
    assert len(first.held_out) == 2
    assert not {file for i in range(6) for file in first.files(i)} & set(first.held_out)
    assert len(PhotoDataset(celeba_of(held_out=0), celeba)) == 8


def test_rafd_tells_expressions_by_name_leaves_profiles_out_and_holds_people_out(rafd: Path) -> None:
    dataset = PhotoDataset(RAFD, rafd)
    files = [dataset.files(i)[0].name for i in range(len(dataset))]
    assert len(files) == 4
    assert all(name.startswith("Rafd090") for name in files)
    people = [{name.split("_")[1] for name in names} for names in (files, [f.name for f in dataset.held_out])]
    assert len(people[1]) == 1  # one file is asked for, a person has two
    assert not people[0] & people[1]
    labels = dataset.batch(range(4)).labels
    assert labels is not None
    assert labels.tolist() == [[float("happy" in name), float("sad" in name)] for name in files]


def test_what_is_trained_on_is_told_by_number_and_hash(celeba: Path, sides: Path) -> None:
    (told,) = PhotoDataset(CELEBA, celeba).cases
    assert told.startswith("celeba/images: 6 photographs, sha256 of their names ")
    assert PhotoDataset(CELEBA, celeba, seed=5).cases == (told,)
    assert PhotoDataset(celeba_of(held_out=3), celeba).cases != (told,)
    assert [line.split(":")[0] for line in PhotoDataset(UNPAIRED, sides).cases] == ["sides/trainA", "sides/trainB"]
    assert json.dumps(told)


def test_examples_are_still_centres_named_by_their_files(sides: Path, pairs: Path) -> None:
    dataset = PhotoDataset(UNPAIRED, sides)
    batch, names = dataset.examples(3)
    assert len(names) == 3
    assert names[0] == "\n".join(file.stem for file in dataset.files(0))
    assert torch.equal(batch.images, dataset.examples(3)[0].images)
    aligned = PhotoDataset(ALIGNED, pairs)
    pixels = photographs.read(aligned.files(0)[0], 3).pixels[..., :20]
    still = centre(fit(torch.from_numpy(pixels), ALIGNED, Path("a")), ALIGNED)
    torch.testing.assert_close(aligned.examples(1)[0].images[0, 0], still)


def overwrite(name: str, text: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_text(text)

    return apply


def rename(name: str, other: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).rename(folder / other)

    return apply


def narrow(folder: Path) -> None:
    photos.save(folder / "train" / "0.png", photos.scene(0)[:, :19])


def unlisted(folder: Path) -> None:
    photos.save(folder / "images" / "000099.png", photos.scene(0))


def empty(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for file in (folder / name).iterdir():
            file.unlink()

    return apply


def open_all(config: PhotoConfig, folder: Path) -> None:
    """Open every file that is trained on, in the order of their names."""
    dataset = PhotoDataset(config, folder)
    for i in sorted(range(len(dataset)), key=dataset.files):
        dataset.sample(i)


LIST = "list_attr_celeba.txt"
TOO_LARGE = celeba_of(crop=21, held_out=0)
HAPPI = replace(RAFD, sets=(replace(photos.MOODS, labels=("happi",)),))


@pytest.mark.parametrize(
    ("config", "draw", "spoil", "words", "hint", "place"),
    [
        (ALIGNED, photos.draw_sides, None, "trainA/ and trainB/ found, which hold no pairs", "CycleGAN", ""),
        (UNPAIRED, photos.draw_pairs, None, "train/ found, as of aligned pairs", "pix2pix takes this folder", ""),
        (ALIGNED, photos.draw_celeba, None, "no folder train/", "side by side", ""),
        (UNPAIRED, photos.draw_sides, rename("trainB", "testB"), "no folder trainB/", "trainA/ and trainB/", ""),
        (ALIGNED, photos.draw_pairs, narrow, "19 pixels wide, which is odd", "A|B", "train/0.png"),
        (ALIGNED, photos.draw_pairs, overwrite("train/0.png", "x"), "cannot be read", "damaged", "train/0.png"),
        (ALIGNED, photos.draw_pairs, empty("train"), "no image in this folder", ".png", "train"),
        (replace(ALIGNED, channels=1), photos.draw_pairs, None, "a colour image", "channels", "train/0.png"),
        (CELEBA, photos.draw_celeba, empty("images"), "no image in this folder", ".png", "images"),
        (CELEBA, photos.draw_celeba, unlisted, f"not in {LIST}", "came with", "images/000099.png"),
        (CELEBA, photos.draw_pairs, None, "no such file", "", LIST),
        (CELEBA, photos.draw_celeba, overwrite(LIST, ""), "the first line says ''", "line 1", LIST),
        (CELEBA, photos.draw_celeba, overwrite(LIST, "2\nBald Young\na.png 1 1\n"), "says '2', but 1", "line 1", LIST),
        (CELEBA, photos.draw_celeba, overwrite(LIST, "1\nBald Young\na.png 1 0\n"), "line 3", "line 1", LIST),
        (celeba_of(labels=("Jung",)), photos.draw_celeba, None, "no attribute 'Jung'", "mean Young?", LIST),
        (TOO_LARGE, photos.draw_celeba, None, "cropped to 21", "published", "images/000000.png"),
        (celeba_of(held_out=8), photos.draw_celeba, None, "8 are to be held out: none is left", "whole", ""),
        (HAPPI, photos.draw_rafd, None, "no expression 'happi'", "mean happy?", ""),
        (RAFD, photos.draw_sides, rename("trainA", "images"), "not a name of the Radboud", "Rafd090", "images/a0.png"),
        (ALIGNED, lambda _: None, None, "no such folder", "", ""),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_is_refused_by_its_file(
    tmp_path: Path, config: PhotoConfig, draw: Callable[[Path], object], spoil: Callable[[Path], None] | None,
    words: str, hint: str, place: str,
) -> None:  # fmt: skip
    folder = tmp_path / "set"
    draw(folder)
    if spoil is not None:
        spoil(folder)
    with pytest.raises(UserError, match=words) as caught:
        open_all(config, folder)
    assert hint in caught.value.hint
    assert caught.value.path is not None
    assert caught.value.path.match(str(folder / place))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(CELEBA, sets=()), "has sets of labelled photographs, found 0"),
        (celeba_of(labels=()), "no labels for celeba"),
        (replace(ALIGNED, sets=(photos.FACES,)), "has no labelled sets, found 1"),
        (replace(CELEBA, contrasts=("A", "B")), "has one contrast, photograph; found A, B"),
        (replace(ALIGNED, contrasts=("A", "B", "C")), "has two contrasts, its sides; found A, B, C"),
        (replace(ALIGNED, channels=2), "channels is 2"),
        (replace(ALIGNED, load=8), "squares of 16 pixels cannot be cut from 8"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(tmp_path: Path, config: PhotoConfig, words: str) -> None:
    with pytest.raises(UserError, match=words):
        PhotoDataset(config, tmp_path)
