"""train and synth on photographs, as the command line calls them."""

from pathlib import Path

import pytest

from polycontrast import recipes

from .. import models, photos
from .conftest import Call


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for recipe in (photos.pix2pix, photos.stargan, photos.stargan_joint):
        monkeypatch.setitem(recipes.RECIPES, recipe().name, recipe)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A run folder of a model that changes attributes."""
    return models.make_run(tmp_path / "faces", photos.stargan(), units={})


def test_from_a_folder_of_pairs_to_a_synthetic_photograph(call: Call, tmp_path: Path) -> None:
    data, run, out = photos.draw_pairs(tmp_path / "pairs"), tmp_path / "run", tmp_path / "out"
    image = photos.save(tmp_path / "in" / "house.png", photos.scene(0, 40, 30))
    options = ("--recipe", "tiny_pix2pix", "--data", data, "--device", "cpu", "-q")
    assert call("train", *options, "-o", run, "--have", "B", "--want", "A").code == 0
    answer = call("synth", "--model", run, "-i", image, "-o", out, "--want", "A", "--device", "cpu")
    assert (answer.code, answer.out) == (0, f"house.png: made A: {out}\n")
    assert (out / "house_a_synth.png").exists()


def test_the_wanted_attributes_are_learnt(call: Call, tmp_path: Path) -> None:
    data, run, out = photos.draw_celeba(tmp_path / "celeba"), tmp_path / "run", tmp_path / "out"
    train = ("train", "--recipe", "tiny_stargan", "--data", data, "--device", "cpu", "-q", "-o")
    answer = call(*train, tmp_path / "none", "--want", "Smilling")
    assert answer.code == 2
    assert "no attribute 'Smilling'" in answer.err
    assert "did you mean Smiling?" in answer.err
    assert call(*train, run, "--want", "Smiling,Bald").code == 0
    answer = call("synth", "--model", run, "-i", data / "images" / "000001.png", "-o", out, "--device", "cpu")
    assert answer.out == f"000001.png: made Smiling, Bald: {out}\n"


def test_two_data_sets_make_one_model(call: Call, tmp_path: Path) -> None:
    """An expression, which CelebA does not tell, is asked of one of its faces."""
    celeba, rafd, run = photos.draw_celeba(tmp_path / "celeba"), photos.draw_rafd(tmp_path / "rafd"), tmp_path / "run"
    train = ("train", "--recipe", "tiny_stargan_joint", "--device", "cpu", "-q", "-o", run, "--data", celeba)
    answer = call(*train)
    assert answer.code == 2
    assert "in this order: celeba, rafd" in answer.err
    assert call(*train, "--data", rafd).code == 0
    face, out = celeba / "images" / "000001.png", tmp_path / "out"
    answer = call("synth", "--model", run, "-i", face, "-o", out, "--want", "happy,Young", "--device", "cpu")
    assert (answer.code, answer.out) == (0, f"000001.png: made happy, Young: {out}\n")
    assert (out / "000001_happy_synth.png").exists()


def test_what_photographs_do_not_know_is_refused(call: Call, tmp_path: Path, faces: Path) -> None:
    data = photos.draw_sides(tmp_path / "sides")
    train = ("train", "--recipe", "tiny_pix2pix", "-o", tmp_path / "run", "--device", "cpu", "--data")
    answer = call(*train, data)
    assert answer.code == 2
    assert "trainA/ and trainB/ found" in answer.err
    for option in ("--split", "--role", "--cache"):
        answer = call(*train, data, option, tmp_path / "split.json")
        assert answer.code == 2
        assert "photographs, which know no --split, --role or --cache" in answer.err
    assert "found 2 folders of photographs, the recipe learns from 1" in call(*train, data, "--data", data).err
    synth = ("synth", "--model", faces, "-o", tmp_path / "out", "--device", "cpu")
    assert "come by -i alone" in call(*synth, "--t2", tmp_path / "t2.nii.gz").err
    assert "come by -i alone" in call(*synth, "-i", data, "--split", tmp_path / "split.json").err
    assert "come by -i alone" in call(*synth, "-i", data, "--fast").err
    answer = call(*synth, "-i", data / "trainA", "--want", "Yung")
    assert answer.code == 2
    assert "did you mean Young?" in answer.err


def test_a_folder_with_a_bad_image_ends_with_a_table(call: Call, tmp_path: Path, faces: Path) -> None:
    images = photos.draw_celeba(tmp_path / "celeba", 2) / "images"
    (images / "bad.png").write_text("x")
    out = tmp_path / "out"
    options = ("--model", faces, "-o", out, "--want", "Young,Bald", "--device", "cpu")
    answer = call("synth", *options, "-i", images)
    assert answer.code == 3
    assert "000001.png: made Young, Bald" in answer.out
    assert "bad.png" in (out / "failures.csv").read_text(encoding="utf-8")
    answer = call("synth", *options, "-i", images / "bad.png")
    assert answer.code == 2
    assert "cannot be read as an image" in answer.err
