"""polycontrast import-weights: from a checkpoint to a model that `synth` takes."""

from pathlib import Path

import torch

from ..systems.test_foreign import cyclegan, tcmgan, trained
from .conftest import Call
from .test_main import refused


def test_an_imported_model_synthesises(
    call: Call, cohort: Path, cache: Path, tmp_path: Path, drawn: list[Path]
) -> None:
    file, run, out = tmp_path / "generator_t2_tumor.pth", tmp_path / "run", tmp_path / "out"
    torch.save(trained(tcmgan(5, 4)).state_dict(), file)
    words = ("import-weights", "tcmgan", file, "-o", run, "--device", "cpu")
    refused(call(*words), "--data")
    done = call(*words, "--data", cohort, "--cache", cache)
    assert done.code == 0, done.err
    assert f"run folder: {run}" in done.out
    assert call("synth", "--model", run, "-i", cohort / "Tiny_0", "-o", out, "--device", "cpu").code == 0
    assert (out / "Tiny_0" / "Tiny_0_t1ce_synth.nii.gz").exists()
    refused(call(*words, "--data", cohort, "--cache", cache), "there is something already")
    assert len(drawn) == 1


def test_half_a_cyclegan_is_told(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "latest_net_G.pth"
    torch.save(cyclegan(1).state_dict(), file)
    words = ("import-weights", "cyclegan", file, "-o")
    assert "only one way" in call(*words, tmp_path / "one").out
    assert "only one way" not in call(*words, tmp_path / "two", "--second", file).out
    assert call(*words, tmp_path / "three", "-q").out == ""


def test_options_about_cases_are_refused_where_none_are_read(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "latest_net_G.pth"
    for option in ("--split", "--role", "--cache"):
        answer = call("import-weights", "cyclegan", file, "-o", tmp_path / "run", option, "gan")
        refused(answer, f"{option} without --data")
    assert not (tmp_path / "run").exists()
