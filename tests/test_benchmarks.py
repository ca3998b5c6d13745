"""The benchmarks run and print their tables; what they compare is comparable. No timing is asserted."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from polycontrast.io.files import write_json
from polycontrast.nets.winograd import WinogradConv

from . import models

FOLDER = Path(__file__).parents[1] / "benchmarks"
EXPECTED = {  # script -> what its tables must show
    "alone": ("a slab of", "by NNPACK", "one thread", "farthest"),
    "ceiling": ("256 channels, 32 x 32, batch 8, bfloat16", "ceiling, GFLOP/s: float32"),
    "cache": ("one case read, normalised and cached", "anonymous memory at most", "training on it"),
    "synthesis": ("read, s", "network, GFLOP/s", "write, s", "resident memory at most", "of the ceiling", "own: **"),
    "rivals": ("any2any, one pass", "unet_256, three passes", "StarGAN, three passes", "times any2any", "as used"),
    "networks": ("generator", "discriminator", "segmenter", "gradient penalty", "bfloat16 channels-last"),
    "systems": ("unet", "discogan", "images/s"),
    "evaluate": ("judging, by two threads", "the whole, s", "resident memory", "ms_ssim", "protocol brasyn", "floor"),
    "distortions": ("tumour erased", "the brain: distortion", "tumour nmae", "brasyn healthy ssim_official", "●"),
    "precision": ("d_gp", "g_rec", "s_fake", "bfloat16 against float32"),
    "train_step": (
        "released order",
        "our order",
        "+ fused Adam",
        "+ the recipe's bfloat16",
        "+ allocator",
        "at rate 0",
        "d_gp",
    ),
}
SHORT = ("--recipe", "any2any_small", "--size", "32", "--images", "8", "--batch", "4")
SLOW = {"cache", "distortions", "evaluate", "networks", "precision", "rivals", "synthesis", "train_step"}


@pytest.fixture(name="modules", scope="module")
def _modules() -> Iterator[Callable[[str], ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module


@pytest.fixture(scope="module")
def train_step(modules: Callable[[str], ModuleType]) -> ModuleType:
    return modules("train_step")


@pytest.mark.parametrize(
    "script", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in EXPECTED]
)
def test_script_prints_its_tables_and_leaves_nothing_behind(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), "--quick"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in EXPECTED[script]:
        assert words in done.stdout
    assert "| nan" not in done.stdout
    _check_tables(done.stdout)
    assert not list(tmp_path.iterdir())


def test_calls_that_overlap_count_once(modules: Callable[[str], ModuleType]) -> None:
    assert modules("synthesis").Calls(spans=[(5.0, 6.0), (1.0, 3.0), (2.0, 4.0), (2.5, 2.7)]).seconds() == 4.0


def test_nnpacks_convolutions_count_as_direct_ones(modules: Callable[[str], ModuleType]) -> None:
    conv, x = WinogradConv(3, 5), torch.randn(1, 3, 8, 6)
    if not torch.backends.nnpack.is_available():
        pytest.skip("this machine has no NNPACK")
    with torch.no_grad(), modules("common").counter() as counted:
        torch._nnpack_spatial_convolution(x, conv.weight, conv.bias, 1)
    assert counted.get_total_flops() == 2 * 9 * 3 * 5 * 8 * 6


def test_both_orders_compute_the_same_losses_where_no_update_lies_between(train_step: ModuleType) -> None:
    terms = train_step.first_terms("tcmgan_demo", 2, 0.0)
    assert {"d_gp", "g_rec", "g_seg", "s_fake", "s_real"} <= set(terms)
    for name, (released, ours) in terms.items():
        assert released == pytest.approx(ours, rel=1e-4), name


def test_only_the_segmenters_view_of_the_fake_depends_on_the_order(train_step: ModuleType) -> None:
    terms = train_step.first_terms("tcmgan_demo", 2, None)
    differing = {name for name, pair in terms.items() if train_step.difference(*pair) > 1e-4}
    assert differing == {"s_fake", "s_loss"}


def test_generator_runs_once_a_step_in_our_order_and_thrice_in_the_released_one(train_step: ModuleType) -> None:
    recipe = train_step.prepared("tcmgan_demo", 2)
    batch = train_step.random_batch(recipe.data, 2)
    runs = []
    trainer, system = train_step.trainer(recipe)
    system.players["generator"].register_forward_hook(lambda *_: runs.append("run"))
    trainer.step(batch)
    assert len(runs) == 1
    train_step.released_step(trainer, batch)
    assert len(runs) == 1 + 3


def _check_tables(text: str) -> None:
    """Every block of table lines has one number of columns."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert blocks
    for lines in blocks:
        assert len({line.count("|") for line in lines}) == 1
        assert len(lines) > 2


@pytest.fixture(scope="module")
def judged(cohort: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The run folder of an untrained any2any, and where drawn patients lie."""
    folder = tmp_path_factory.mktemp("judged")
    split = folder / "split.json"
    write_json(split, {"gan": ["Tiny_0"], "train": ["Tiny_1"], "test": ["Tiny_2", "Tiny_3"]})
    run = models.make_confident(folder / "run")
    return run, ["--data", str(cohort), "--split", str(split), "--cache", str(cache), "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "steps", "words"),
    [
        ("paired", (["judge", "--runs", "a={run}", "--runs", "b={run}"], ["table", "--against", "a"]),
         ("a minus each, patient by patient", "ring correlation 0.3", "tumour nmae, contrast")),
        ("subsets", (["judge", "--model", "{run}", "--slices", "12"], ["table"]),
         ("t1, t1ce, flair", "flair + t1", "error in the least confident tenth")),
        ("ablate", (["train", "no_ssim", *SHORT], ["judge", "no_ssim", *SHORT], ["table"]), ("no_ssim", "tumour psnr")),
        ("detail", (["--model", "{run}", "--role", "test", "--shares", "0", "1"],), ("share", "| FLAIR | 1 |")),
    ],
)  # fmt: skip
def test_what_judges_patients_prints_its_tables(
    script: str, steps: tuple[list[str], ...], words: tuple[str, ...], judged: tuple[Path, list[str]], tmp_path: Path
) -> None:
    run, patients = judged
    out = ["-o", str(tmp_path / ("out.json" if script == "subsets" else "out"))]
    if script == "paired":  # it reads files, not the cache
        patients = [*patients[:4], *patients[6:]]
    printed = ""
    for step in steps:
        told = [part.format(run=run) for part in step] + patients + (out if script != "detail" else [])
        done = subprocess.run(
            [sys.executable, str(FOLDER / f"{script}.py"), *told],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    assert all(part in printed for part in words), printed
    _check_tables(printed)
