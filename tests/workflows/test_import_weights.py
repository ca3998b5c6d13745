"""import_weights makes run folders of the originals' checkpoints, or refuses in words and leaves nothing."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polycontrast import recipes
from polycontrast.data.cache import Entry
from polycontrast.data.units import fit_units
from polycontrast.errors import UserError
from polycontrast.infer.loading import load_system
from polycontrast.infer.photographs import PhotoSynthesizer
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.photographs import Photo
from polycontrast.nets.layers import with_planes
from polycontrast.recipes import Recipe
from polycontrast.workflows.import_weights import NOT_IMPORTED, import_weights, read_weights

from ..systems.test_foreign import cyclegan, pix2pix, stargan, tcmgan, trained

CPU = torch.device("cpu")
LABELS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes with small critics, which no import looks at."""

    def lighter(function: Callable[[], Recipe]) -> Callable[[], Recipe]:
        recipe = function()
        system: Any = recipe.system
        return lambda: replace(recipe, system=replace(system, critic_base=2))

    for name in ("stargan", "stargan_rafd", "pix2pix", "cyclegan", "tcmgan"):
        monkeypatch.setitem(recipes.RECIPES, name, lighter(recipes.RECIPES[name]))


def saved(network: nn.Module, path: Path, **changed: Tensor) -> Path:
    torch.save({**network.state_dict(), **changed}, path)
    return path


def image(channels: int = 3, edge: int = 64) -> Tensor:
    return torch.rand(1, channels, edge, edge, generator=torch.Generator().manual_seed(3)) * 2 - 1


@torch.no_grad()
def made(run: Path, x: Tensor, have: str, want: str) -> Tensor:
    """What the run's system makes of x [1, K, H, W], [1, K, H, W]."""
    _, system, _ = load_system(run, CPU)
    out: Tensor = system.synthesize(x[:, None], (have,), (want,))[0][:, 0]
    return out


@torch.no_grad()
def close(ours: Tensor, original: nn.Module, x: Tensor) -> None:
    torch.testing.assert_close(ours, original(x), rtol=1e-4, atol=1e-4)


def refused(words: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(UserError, match=words) as told:
        import_weights(*arguments, **options)
    assert told.value.hint


def test_pix2pix_is_imported(tmp_path: Path) -> None:
    original = trained(pix2pix(5, 4))
    run = tmp_path / "there" / "run"
    told = import_weights("pix2pix", saved(original, tmp_path / "latest_net_G.pth"), run)
    close(made(run, image(), "A", "B"), original, image())
    described = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert described["imported"] == told
    assert told["file"]["name"] == "latest_net_G.pth"
    assert described["cases"] == []
    assert (described["recipe"]["system"]["levels"], described["recipe"]["system"]["base"]) == (5, 4)
    model = PhotoSynthesizer.load(run)
    photo = model(Photo(image()[0].numpy().astype(np.float32), 8), ("B",), tmp_path)["B"]
    close(torch.from_numpy(photo.pixels)[None], original, image())
    assert sorted(p.name for p in run.parent.iterdir()) == ["run"]


def test_grey_photographs_are_told_by_the_weights(tmp_path: Path) -> None:
    original = trained(pix2pix(5, 2, channels=1))
    import_weights("pix2pix", saved(original, tmp_path / "g.pth"), tmp_path / "run")
    close(made(tmp_path / "run", image(1), "A", "B"), original, image(1))


def test_cyclegan_is_imported_one_way_or_both(tmp_path: Path) -> None:
    there, back = trained(cyclegan(2), 1), trained(cyclegan(2), 2)
    a, b = saved(there, tmp_path / "latest_net_G_A.pth"), saved(back, tmp_path / "latest_net_G_B.pth")
    one, both = tmp_path / "one", tmp_path / "both"
    assert import_weights("cyclegan", a, one)["b_to_a"] == NOT_IMPORTED
    assert import_weights("cyclegan", a, both, second=b)["b_to_a"]["name"] == b.name
    for run in (one, both):
        close(made(run, image(), "A", "B"), there, image())
    close(load_system(both, CPU)[1].players["generator"].get_submodule("b_to_a")(image()), back, image())
    import_weights("cyclegan", a, tmp_path / "again")
    weights = [(run / "checkpoint/weights.safetensors").read_bytes() for run in (one, tmp_path / "again")]
    assert weights[0] == weights[1], "what is not imported must be the same each time"


def test_stargan_is_imported_with_the_names_of_its_labels(tmp_path: Path) -> None:
    original = trained(stargan(2))
    run = tmp_path / "run"
    file = saved(original, tmp_path / "200000-G.ckpt")
    import_weights("stargan", file, run, labels=LABELS, size=256)
    told = torch.zeros(1, 5)
    told[0, 3] = 1
    close(made(run, image(), "photograph", "Male"), original, with_planes(image(), told))
    data: Any = PhotoSynthesizer.load(run).data
    assert (data.labels, data.sets[0].crop, data.load, data.size) == ((LABELS,), 178, 256, 256)
    import_weights("stargan", file, tmp_path / "rafd", recipe="stargan_rafd", labels=("a", "b", "c", "d", "e"))
    assert PhotoSynthesizer.load(tmp_path / "rafd").want == ("a", "b", "c", "d", "e")
    refused("takes 5 label planes, named are 2", "stargan", file, tmp_path / "x", labels=("a", "b"))
    refused("takes 5 label planes, named are 4", "stargan", file, tmp_path / "x", labels=("a", "b", "c", "d", "d"))


def test_tcmgan_is_imported_with_units_of_its_own_outputs(tmp_path: Path, entries: list[Entry]) -> None:
    original, run = trained(tcmgan(5, 4)), tmp_path / "run"
    some = entries[:2]
    told = import_weights(
        "tcmgan", saved(original, tmp_path / "generator_t2_tumor.pth"), run, source=lambda _: some
    )  # fmt: skip
    assert told["units_from"] == [e.id for e in some]
    model = Synthesizer.load(run)
    label = torch.zeros(1, 3)
    label[0, 1] = 1
    close(made(run, image(1, 128), "T2", "T1ce"), original, with_planes(image(1, 128), label))

    @torch.no_grad()
    def outputs(real: np.ndarray) -> dict[str, np.ndarray]:
        t2 = torch.from_numpy(real[2])[None]
        planes = {"FLAIR": 0, "T1ce": 1, "T1": 2}
        return {
            name: original(with_planes(t2, torch.eye(3)[plane : plane + 1]))[0].numpy()
            for name, plane in planes.items()
        }

    expected = fit_units(some, recipes.tcmgan.tcmgan().data, outputs)  # type: ignore[arg-type]
    for name, pair in model.config.units.items():
        assert pair == pytest.approx(expected[name], rel=1e-3, abs=1e-4)
    assert model.config.cases == ()


def test_data_parallel_and_old_files_are_read(tmp_path: Path) -> None:
    original = trained(stargan(1))
    wrapped = {f"module.{key}": value for key, value in original.state_dict().items()}
    torch.save(wrapped, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    import_weights("stargan", tmp_path / "w.pth", tmp_path / "run", labels=LABELS)
    x = with_planes(image(), torch.eye(5)[:1])
    close(made(tmp_path / "run", image(), "photograph", "Black_Hair"), original, x)


def test_another_architecture_is_refused_by_its_first_key_and_leaves_nothing(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    star, unet = saved(stargan(1), tmp_path / "s.pth"), saved(pix2pix(), tmp_path / "p.pth")
    refused(r"s.pth: no 'model.model.0.weight'.*begins with 'main.0.weight'", "pix2pix", star, run)
    refused(r"p.pth: no 'model.1.weight'", "cyclegan", unet, run)
    first = r"p.pth: found 'model.model.0.weight' of shape \[4, 3, 4, 4\], expected \[4, 4, 4, 4\]"
    refused(first, "tcmgan", unet, run, source=lambda _: [])
    eight = saved(cyclegan(1), tmp_path / "c.pth", **{"model.1.weight": torch.zeros(4, 8, 7, 7)})
    refused(r"\[4, 8, 7, 7\], expected \[4, 3, 7, 7\]", "cyclegan", eight, run)
    dropout = saved(pix2pix(), tmp_path / "d.pth", **{"model.model.9.weight": torch.zeros(2)})
    refused(r"found 'model.model.9.weight' of shape \[2\], expected nothing", "pix2pix", dropout, run)
    a, b = saved(cyclegan(2), tmp_path / "a.pth"), saved(cyclegan(3), tmp_path / "b.pth")
    refused(r"b.pth: no 'model.12.weight'", "cyclegan", a, run, second=b)
    assert not run.parent.exists()


class Code:
    """Unpickled, this writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.mkdir, (str(self.trace), 0o700)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    trace, run = tmp_path / "was-run", tmp_path / "run"
    torch.save({"main.0.weight": Code(trace)}, tmp_path / "zip.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Code(trace), protocol=2))
    torch.save(stargan(1), tmp_path / "module.pth")
    for name in ("zip.pth", "bare.pth", "module.pth"):
        with pytest.raises(UserError, match=f"{name}: refused: .* could run code") as told:
            import_weights("stargan", tmp_path / name, run, labels=LABELS)
        assert "weights_only" not in str(told.value)
    assert not trace.exists()
    assert not run.exists()
    torch.load(tmp_path / "zip.pth", weights_only=False)
    assert trace.exists(), "the trap does not work"


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    whole = saved(stargan(1), tmp_path / "whole.pth").read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"hello world" * 99), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as PyTorch weights"):
            read_weights(tmp_path / name)
    for number, values in enumerate(([torch.zeros(1)], {"a": 1.0}, {1: torch.zeros(1)}, {"a": {"b": torch.zeros(1)}})):
        torch.save(values, tmp_path / str(number))
        with pytest.raises(UserError, match="expected a table of tensors"):
            read_weights(tmp_path / str(number))
    with pytest.raises(UserError, match="no such file"):
        read_weights(tmp_path / "absent")


def test_options_that_are_missing_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    file, run = saved(stargan(1), tmp_path / "s.pth"), tmp_path / "run"
    refused("no weights of a kind 'unit'", "unit", file, run)
    refused("does not tell what its label planes mean", "stargan", file, run)
    refused("their map to normalised units must be fitted", "tcmgan", file, run)
    refused("--second says nothing of stargan", "stargan", file, run, labels=LABELS, second=file)
    refused("--labels, --data says nothing of pix2pix", "pix2pix", file, run, labels=LABELS, source=lambda _: [])
    refused("--size says nothing of tcmgan", "tcmgan", file, run, size=256, source=lambda _: [])
    refused("stargan_joint is not for stargan", "stargan", file, run, labels=LABELS, recipe="stargan_joint")
    refused("stargan_mr is not for stargan", "stargan", file, run, labels=LABELS, recipe="stargan_mr")
    refused("pix2pix is not for stargan", "stargan", file, run, labels=LABELS, recipe="pix2pix")
    run.mkdir()
    refused("there is something already", "stargan", file, run, labels=LABELS)
    assert not list(run.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = saved(stargan(1), tmp_path / "s.pth")
    refused("run: cannot be written: Not a directory", "stargan", file, file / "run", labels=LABELS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.pth"]
