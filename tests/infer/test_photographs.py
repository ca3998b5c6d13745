"""Models of photographs: sizes, files, sidecars and refusals; and a run from drawn pairs to a picture."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polycontrast import runs
from polycontrast.errors import UserError
from polycontrast.infer.photographs import PhotoSynthesizer, run_photograph, synthesize_photographs
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import sha256
from polycontrast.io.photographs import find_photographs, read
from polycontrast.recipes import Recipe
from polycontrast.train.loop import train

from .. import models, photos


@pytest.fixture
def model(tmp_path: Path) -> PhotoSynthesizer:
    return PhotoSynthesizer.load(models.make_run(tmp_path / "pairs_run", photos.pix2pix(), units={}))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A photograph of odd edges, 29 lines of 31 pixels."""
    return photos.save(tmp_path / "in" / "house.png", photos.scene(0, 29, 31))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_a_photograph_keeps_its_size_and_gets_a_sidecar(model: PhotoSynthesizer, image: Path, out: Path) -> None:
    done = run_photograph(image, model, out)
    assert (done.made, done.skipped, done.flags) == (("B",), (), ())
    assert sorted(file.name for file in out.iterdir()) == ["house_b_synth.json", "house_b_synth.png"]
    with Image.open(out / "house_b_synth.png") as made:
        assert (made.size, made.mode, made.info["Description"]) == ((31, 29), "RGB", "SYNTHETIC B by polycontrast")
    told = json.loads((out / "house_b_synth.json").read_text(encoding="utf-8"))
    assert told["synthetic"] is True
    assert (told["have"], told["want"]) == ("A", "B")
    assert told["model"]["sha256"] == model.sha256
    assert told["input"] == {"file": "house.png", "sha256": sha256(image)}


def test_what_is_there_is_kept_and_what_another_model_made_is_refused(
    model: PhotoSynthesizer, image: Path, out: Path, tmp_path: Path
) -> None:
    run_photograph(image, model, out)
    before = (out / "house_b_synth.png").read_bytes()
    assert run_photograph(image, model, out).skipped == ("B",)
    other = PhotoSynthesizer.load(models.make_run(tmp_path / "other", photos.pix2pix(), seed=1, units={}))
    with pytest.raises(UserError, match="made by another model"):
        run_photograph(image, other, out)
    run_photograph(image, other, out, overwrite=True)
    assert (out / "house_b_synth.png").read_bytes() != before
    run_photograph(image, model, out, overwrite=True)
    assert (out / "house_b_synth.png").read_bytes() == before


def test_an_image_without_a_sidecar_is_made_again_only_if_it_says_that_it_is_ours(
    model: PhotoSynthesizer, image: Path, out: Path
) -> None:
    run_photograph(image, model, out)
    made, sidecar = out / "house_b_synth.png", out / "house_b_synth.json"
    before = made.read_bytes()
    sidecar.unlink()  # as a kill between the two writes leaves it
    assert run_photograph(image, model, out).made == ("B",)
    assert made.read_bytes() == before
    sidecar.unlink()
    photos.save(made, photos.scene(1))
    with pytest.raises(UserError, match="not made by polycontrast") as caught:
        run_photograph(image, model, out)
    assert (caught.value.path, "--overwrite" in caught.value.hint) == (made, True)
    run_photograph(image, model, out, overwrite=True)
    assert made.read_bytes() == before


def test_grey_of_16_bits_stays_so(image: Path, out: Path, tmp_path: Path) -> None:
    recipe = replace(photos.pix2pix(), data=replace(photos.pix2pix().data, channels=1))
    grey = PhotoSynthesizer.load(models.make_run(tmp_path / "grey", recipe, units={}))
    deep = photos.save(tmp_path / "in" / "deep.png", photos.scene(0)[..., 0].astype(np.uint16) * 257)
    run_photograph(deep, grey, out)
    assert read(out / "deep_b_synth.png", 1).bits == 16
    with pytest.raises(UserError, match="a colour image"):
        run_photograph(image, grey, out)


def test_attributes_are_wanted_by_name_of_the_cropped_face(tmp_path: Path, out: Path) -> None:
    model = PhotoSynthesizer.load(models.make_run(tmp_path / "faces", photos.stargan(), units={}))
    face = photos.save(tmp_path / "in" / "face.png", photos.scene(0, 24, 20))
    assert run_photograph(face, model, out).made == ("Young", "Bald")
    young, bald = (read(out / f"face_{name}_synth.png", 3).pixels for name in ("young", "bald"))
    assert young.shape == (3, 16, 16)
    assert not np.allclose(young, bald)
    with pytest.raises(UserError, match="not trained to make Balt") as caught:
        run_photograph(face, model, out, ["Balt"])
    assert caught.value.hint.startswith("did you mean Bald? it makes Young, Bald")
    small = photos.save(tmp_path / "in" / "small.png", photos.scene(0, 12, 12))
    with pytest.raises(UserError, match="to be cropped to 20") as caught:
        run_photograph(small, model, out)
    assert caught.value.path == small


def test_a_model_of_two_data_sets_makes_the_labels_of_both_of_a_photograph_of_either(tmp_path: Path, out: Path) -> None:
    """Each is cropped as its data set: to the largest of their edges that it has."""
    model = PhotoSynthesizer.load(models.make_run(tmp_path / "joint", photos.stargan_joint(), units={}))
    face, mood = (photos.save(tmp_path / "in" / f"{n}.png", photos.scene(0, 24, n)) for n in (20, 22))
    for file, crop in ((face, 20), (mood, 22)):
        assert run_photograph(file, model, out).made == ("Young", "Bald", "happy", "sad")
        told = json.loads((out / f"{file.stem}_sad_synth.json").read_text(encoding="utf-8"))
        assert told["size"] == f"cropped to {crop}, resized to 16, cut to 16"
    made = [read(out / f"20_{name}_synth.png", 3).pixels for name in ("young", "bald", "happy", "sad")]
    assert not any(np.allclose(made[0], other) for other in made[1:])
    small = photos.save(tmp_path / "in" / "small.png", photos.scene(0, 12, 12))
    with pytest.raises(UserError, match="to be cropped to 20"):
        run_photograph(small, model, out)


def test_a_folder_goes_on_after_a_bad_image(model: PhotoSynthesizer, image: Path, out: Path) -> None:
    (image.parent / "bad.png").write_text("x")
    photos.save(image.parent / "zoo.jpg", photos.scene(1))
    done, failed = synthesize_photographs(model, image.parent, out, ["B"])
    assert [d.case for d in done] == ["house.png", "zoo.jpg"]
    assert [(name, error.path) for name, error in failed] == [("bad.png", image.parent / "bad.png")]


def test_a_name_that_is_not_utf_8_is_told_before_any_work(model: PhotoSynthesizer, image: Path, out: Path) -> None:
    """The file need not even be there: not every disk takes such a name."""
    _, ((name, error),) = synthesize_photographs(model, image.with_name("M\udcfcller.png"), out)
    assert name == "M\udcfcller.png"
    assert r"M\udcfcller.png is not in UTF-8" in str(error)


def test_folders_that_would_mix_names_are_refused(model: PhotoSynthesizer, image: Path, out: Path) -> None:
    with pytest.raises(UserError, match="the photographs are in this folder"):
        synthesize_photographs(model, image.parent, image.parent)
    photos.save(image.with_suffix(".jpg"), photos.scene(1))
    with pytest.raises(UserError, match="two photographs named house"):
        synthesize_photographs(model, image.parent, out)
    _, ((_, error),) = synthesize_photographs(model, image.parent / "none.png", out)
    assert "no such file" in str(error)


def test_another_scale_is_flagged_and_a_huge_photograph_refused(
    model: PhotoSynthesizer, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = photos.save(tmp_path / "in" / "large.png", photos.scene(0, 60, 50))
    (flag,) = run_photograph(large, model, out).flags
    assert flag.startswith("50 x 60 pixels: the model knows photographs at the scale of 36 x 36")
    monkeypatch.setattr("polycontrast.infer.photographs.LARGEST", 1000)
    with pytest.raises(UserError, match="50 x 60 pixels, more than") as caught:
        run_photograph(large, model, out, overwrite=True)
    assert caught.value.path == large


def test_the_side_that_is_not_given_is_told(model: PhotoSynthesizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs A, found B"):
        PhotoSynthesizer.load(tmp_path / "pairs_run", have="B")
    with pytest.raises(UserError, match="not trained to make A of A"):
        model.check(["A"])


def test_models_of_volumes_and_of_photographs_are_not_mistaken(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a model of volumes"):
        PhotoSynthesizer.load(models.make_run(tmp_path / "volumes"))
    with pytest.raises(UserError, match="a model of photographs") as caught:
        Synthesizer.load(models.make_run(tmp_path / "pairs", photos.pix2pix(), units={}))
    assert "-i FOLDER_OR_IMAGE" in caught.value.hint


@pytest.mark.parametrize(
    ("recipe", "draw", "images"),
    [
        (photos.pix2pix(), photos.draw_pairs, "train"),
        (photos.cyclegan(), photos.draw_sides, "trainA"),
        (photos.stargan(), photos.draw_celeba, "images"),
    ],
    ids=lambda value: value.name if isinstance(value, Recipe) else "",
)
def test_drawn_photographs_train_a_run_that_synthesizes(
    tmp_path: Path, out: Path, recipe: Recipe, draw: Callable[[Path], Path], images: str
) -> None:
    source = draw(tmp_path / "set")
    run = train(recipe, source, tmp_path / "run", progress=False)
    assert [p.name for p in (run / "preview").iterdir()] == ["000000008.png"]
    assert runs.read_config(run).units == {}
    train(recipe, source, run, resume=True, progress=False)
    model = PhotoSynthesizer.load(run)
    done, failed = synthesize_photographs(model, source / images, out)
    assert not failed
    assert len(done) == len(find_photographs(source / images))
    assert len(find_photographs(out)) == len(done) * len(model.want)
