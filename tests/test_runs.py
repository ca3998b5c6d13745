"""A run folder is read whole, or refused in words that name the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polycontrast import runs
from polycontrast.contrasts import DEFAULT
from polycontrast.errors import UserError
from polycontrast.infer.sets import load
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.systems.base import GENERATOR

from . import models, tiny

WEIGHTS = "checkpoint/weights.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return models.make_run(tmp_path / "run")


def test_configuration_and_weights_come_back(run: Path) -> None:
    found = runs.read_config(run)
    assert found.recipe == tiny.recipe()
    assert (found.version, found.cases) == ("0", ("P1",))
    assert found.units["T1ce"] == (0.6, pytest.approx(0.3))
    weights, file = runs.load_weights(run)
    assert file == run / WEIGHTS
    assert weights
    assert all(isinstance(w, torch.Tensor) and name.startswith("generator.") for name, w in weights.items())


def test_what_is_usual_comes_back_where_the_run_tells_it(run: Path) -> None:
    assert runs.read_config(run).typical == {}
    change("typical", {"T1": {"lean": [0.1, 0.4]}})(run)
    assert runs.read_config(run).typical == {"T1": {"lean": (0.1, 0.4)}}


def test_a_checkpoint_set_aside_by_a_kill_is_found(run: Path) -> None:
    (run / "checkpoint").rename(run / "checkpoint.old")
    assert runs.find(run) == run / "checkpoint.old"
    Synthesizer.load(run)


def test_an_unfinished_checkpoint_is_none(run: Path) -> None:
    (run / "checkpoint" / "clock.json").unlink()
    assert runs.find(run) is None


def test_synthesis_reads_no_pickle(run: Path) -> None:
    (run / "checkpoint" / "state.pt").write_bytes(b"not to be opened")
    Synthesizer.load(run)


def change(key: str, value: Any) -> Callable[[Path], None]:
    """Set a value of config.json by a dotted name; Ellipsis removes it."""

    def apply(run: Path) -> None:
        values = json.loads((run / "config.json").read_text(encoding="utf-8"))
        *above, last = key.split(".")
        place = values
        for name in above:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
        (run / "config.json").write_text(json.dumps(values))

    return apply


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes(content) and None


def cut(run: Path) -> None:
    file = run / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])


def remove_folder(run: Path) -> None:
    for path in sorted(run.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run.rmdir()


def remove_checkpoint(run: Path) -> None:
    (run / "checkpoint").rename(run / "elsewhere")


def drop_a_weight(run: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = run / WEIGHTS
    weights = load_file(file)
    weights.pop(sorted(weights)[0])
    save_file(weights, file)


@pytest.mark.parametrize(
    ("spoil", "words", "file"),
    [
        (remove_folder, "no such run folder", ""),
        (lambda run: (run / "config.json").unlink(), "no such file", "config.json"),
        (remove_checkpoint, "no checkpoint", ""),
        (lambda run: (run / "checkpoint/clock.json").unlink(), "no checkpoint", ""),
        (lambda run: (run / WEIGHTS).unlink(), "safetensors", WEIGHTS),
        (cut, "safetensors", WEIGHTS),
        (write(WEIGHTS, b"\x80\x04pickle"), "safetensors", WEIGHTS),
        (write(WEIGHTS, b""), "safetensors", WEIGHTS),
        (drop_a_weight, "not those of the recipe", WEIGHTS),
        (write("config.json", b"{"), "not valid JSON", "config.json"),
        (write("config.json", b"\xff\xfe"), "not valid JSON", "config.json"),
        (write("config.json", b"[]"), "not a run's configuration", "config.json"),
        (write("config.json", b"{}"), "not a run's configuration", "config.json"),
        (change("recipe.data.sise", 3), "recipe.data: unknown key 'sise'", "config.json"),
        (change("recipe.data.size", "big"), "recipe.data.size", "config.json"),
        (change("recipe.system.name", "pix2pax"), "recipe.system", "config.json"),
        (change("recipe.system", ...), "no value for system", "config.json"),
        (change("recipe", None), "not a run's configuration", "config.json"),
        (change("cases", None), "not a run's configuration", "config.json"),
        (change("units", ...), "units", "config.json"),
        (change("units", []), "not a run's configuration", "config.json"),
        (change("units.T1", [1]), "not a run's configuration", "config.json"),
        (change("units.T1", ...), "no units for T1", "config.json"),
        (change("typical", [1]), "not a run's configuration", "config.json"),
        (change("typical", {"T1": 3}), "not a run's configuration", "config.json"),
        (change("typical", {"T1": {"lean": [1]}}), "not a run's configuration", "config.json"),
        (change("typical", {"T1": {"lean": [2, 1]}}), "is no range", "config.json"),
        (change("typical", {"T1": {"lean": ["a", "b"]}}), "not a run's configuration", "config.json"),
    ],
)  # fmt: skip
def test_what_is_no_whole_run_is_refused_by_its_file(
    run: Path, spoil: Callable[[Path], None], words: str, file: str
) -> None:
    spoil(run)
    with pytest.raises(UserError, match=words) as caught:
        Synthesizer.load(run)
    assert caught.value.path == (run / file if file else run)


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    with pytest.raises(UserError, match="no such run folder"):
        Synthesizer.load(tmp_path / "weights.pt")


def test_the_nearest_known_key_is_named(run: Path) -> None:
    change("recipe.data.sise", 3)(run)
    with pytest.raises(UserError) as caught:
        runs.read_config(run)
    assert "'size'" in caught.value.hint


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a stand-in for the shipped model, which is returned."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = models.make_shipped(tmp_path / "weights")
    monkeypatch.setattr(runs, "shipped", lambda: folder)
    return folder


class TestTheShippedModel:
    @pytest.mark.parametrize("name", ["any2any", Path("any2any")])
    def test_is_known_by_its_name(self, elsewhere: Path, name: str | Path) -> None:
        assert runs.folder_of(name) == elsewhere
        assert runs.read_config(name) == runs.read_config(elsewhere)
        assert runs.load_weights(name)[1] == elsewhere / "any2any.safetensors"
        assert runs.members(name) == ()
        for model in (Synthesizer.load(name), load(name), Synthesizer.load(elsewhere)):
            assert model.name == "any2any"

    def test_half_precision_becomes_the_float32_of_the_networks(self, elsewhere: Path) -> None:
        stored, _ = runs.load_weights("any2any")
        assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
        loaded = Synthesizer.load("any2any").system.players[GENERATOR].state_dict()
        assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
        assert all(torch.equal(tensor.half(), stored[f"generator.{name}"]) for name, tensor in loaded.items())
        assert elsewhere.exists()

    @pytest.mark.usefixtures("elsewhere")
    def test_gives_way_to_a_run_of_its_name_in_the_current_folder(self) -> None:
        own = models.make_run(Path("any2any"))
        assert runs.folder_of("any2any") == own
        assert Synthesizer.load("any2any").config.recipe == tiny.recipe()

    @pytest.mark.usefixtures("elsewhere")
    def test_gives_way_to_a_set_of_its_name(self) -> None:
        models.make_set(Path("any2any"), [tiny.pairwise(want="T1"), tiny.pairwise(want="FLAIR")])
        assert load("any2any").want == ("T1", "FLAIR")

    def test_is_not_hidden_by_a_folder_that_is_no_run(self, elsewhere: Path) -> None:
        Path("any2any").mkdir()
        assert runs.folder_of("any2any") == elsewhere
        with pytest.raises(UserError, match="no such file"):
            runs.read_config("./any2any")

    @pytest.mark.usefixtures("elsewhere")
    def test_that_was_not_installed_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs, "shipped", lambda: tmp_path)
        with pytest.raises(UserError, match="not in this installation") as caught:
            Synthesizer.load("any2any")
        assert "--model" in caught.value.hint

    def test_makes_everything_of_anything_and_tells_its_confidence(self) -> None:
        if not (runs.shipped() / runs.SHIPPED_WEIGHTS).is_file():
            pytest.skip("the weights of the shipped model are not in this checkout")
        config = runs.read_config("any2any")
        assert config.confidence.keys() == models.confidence(config.recipe).keys()
        assert all(levels.keys() == models.LEVELS.keys() for levels in config.confidence.values())
        assert set(config.recipe.system.want) == set(config.recipe.system.have) == set(DEFAULT)
        assert config.cases
        Synthesizer.load("any2any")
