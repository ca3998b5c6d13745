"""The segmenter: it learns, keeps to grid and brain, is not taught what nobody has said, and is kept whole or not."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from polycontrast.errors import UserError
from polycontrast.io.layout import Case, find_cases
from polycontrast.metrics import segmenter
from polycontrast.metrics.downstream import dice
from polycontrast.metrics.reference import load
from polycontrast.metrics.segmenter import Segmenter, SegmenterConfig, opened, sample, trained, truth

from .. import tiny

pytest.importorskip("monai")

NAMES = ("T1", "T1ce", "T2", "FLAIR")
SMALL = SegmenterConfig(NAMES, spacing=5.0, patch=16, filters=(4, 4, 8), steps=2, bfloat16=False)


class Shown(nn.Module):
    """Says that a region is where its channel is bright: channels 0, 1, 2 are the regions."""

    def forward(self, x: Tensor) -> Tensor:
        return 20 * (x[:, :3] - 0.5)


@pytest.fixture(name="cases", scope="module")
def _cases(cohort: Path) -> list[Case]:
    return find_cases(cohort)


def test_it_learns_a_case_by_heart(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "NOTIFY_EVERY", 20)
    said: list[str] = []
    learnt = trained(cases[:1], replace(SMALL, steps=100, rate=3e-2), said.append)
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said]
    assert len(losses) == 5
    assert losses[-1] < 0.5 * losses[0]
    real = load(cases[0])
    found, wanted = learnt(real.images, real.brain, real.spacing), truth(real)
    overlap = [dice(mask, found[region]) for region, mask in wanted.items() if mask is not None]
    for value, least in zip(overlap, (0.8, 0.5, 0.5), strict=True):  # the smallest has 68 voxels
        assert value is not None
        assert value > least


def test_it_learns_in_bfloat16_too(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "has_bfloat16", lambda _: True)  # imitated where the CPU is not made for it
    weights = trained(cases[:1], replace(SMALL, bfloat16=True)).network.state_dict()
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize(
    ("shape", "spacing", "model", "least"),
    [
        ((40, 36, 20), (5.0, 5.0, 5.0), 5.0, 1.0),
        ((41, 36, 21), (2.0, 2.0, 4.0), 2.0, 0.97),
        ((60, 64, 40), (1.0, 1.0, 1.0), 2.0, 0.93),
        ((17, 15, 9), (4.0, 4.0, 4.0), 4.0, 1.0),  # smaller than a patch
    ],
)
def test_what_the_network_finds_comes_back_in_its_place(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], model: float, least: float
) -> None:
    axes = np.meshgrid(*(np.arange(n) / n - 0.5 for n in shape), indexing="ij")
    brain = sum(a * a for a in axes) < 0.2
    far = np.sqrt((axes[0] - 0.1) ** 2 + axes[1] ** 2 + (axes[2] + 0.1) ** 2)
    drawn = [far < 0.3, far < 0.25, far < 0.2]
    shown = Segmenter(Shown(), replace(SMALL, contrasts=NAMES[:3], spacing=model))
    images = {name: mask.astype(np.float32) for name, mask in zip(NAMES, drawn, strict=False)}
    found = shown(images, brain, spacing)
    for mask, wanted in zip(found.values(), drawn, strict=True):
        assert mask.shape == shape
        assert mask.dtype == bool
        assert dice(wanted & brain, mask) >= least  # type: ignore[operator]


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_regions_lie_within_one_another_and_the_brain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    brain = np.zeros((20, 18, 9), dtype=bool)
    brain[3:17, 2:15, 1:8] = rng.random((14, 13, 7)) < 0.9
    images = {name: rng.normal(0.5, 0.5, brain.shape).astype(np.float32) for name in NAMES}
    found = Segmenter(Shown(), replace(SMALL, contrasts=NAMES))(images, brain, (5.0, 5.0, 5.0))
    assert list(found) == ["whole", "core", "enhancing"]
    assert not (found["whole"] & ~brain).any()
    assert not (found["core"] & ~found["whole"]).any()
    assert not (found["enhancing"] & ~found["core"]).any()


def test_a_contrast_that_is_missing_is_a_channel_of_zeros(cases: list[Case]) -> None:
    """Absent, None and zeros are one; what lies outside the brain or is not known by name is not seen."""
    seen: list[Tensor] = []

    class Watched(Shown):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    real, one = load(cases[0]), Segmenter(Watched(), SMALL)
    zeros = dict.fromkeys(NAMES, np.zeros_like(real.images["T2"]))
    only = {"T2": real.images["T2"]}
    outside = np.where(real.brain, real.images["T2"], np.float32(np.nan))
    for images in (zeros | only, only, dict.fromkeys(NAMES) | only, {"T2": outside, "PD": real.images["T1"]}):
        one(images, real.brain, real.spacing)
    windows = len(seen) // 4
    first, *others = [torch.cat(seen[i * windows : (i + 1) * windows]) for i in range(4)]
    assert all(torch.equal(first, other) for other in others)
    assert first[:, NAMES.index("T2")].any()
    assert not np.delete(first.numpy(), NAMES.index("T2"), axis=1).any()


def test_a_region_that_the_values_cannot_tell_teaches_nothing(tmp_path: Path) -> None:
    labels = tiny.images(0)[1]
    tiny.draw_case(tmp_path, "P0", seg=np.where(labels == 4, 2, labels))
    (tmp_path / "labels.json").write_text('{"P0": "oedema-core"}')
    one = sample(load(find_cases(tmp_path)[0]), SMALL)
    assert one.known == (True, True, False)
    assert [bool(region.any()) for region in one.regions] == [True, True, False]

    logits = torch.randn(2, 3, 8, 8, 8, requires_grad=True)
    known = torch.tensor([[1, 1, 0], [1, 1, 1.0]])[:, :, None, None, None]
    segmenter._loss(logits, (torch.rand(2, 3, 8, 8, 8) < 0.3) * known, known).backward()
    assert logits.grad is not None
    assert logits.grad[0, 2].abs().max() == 0
    assert (logits.grad.abs().amax((2, 3, 4)) > 0).sum() == 5


def test_half_of_the_patches_are_centred_on_tumour(cases: list[Case]) -> None:
    one, rng = sample(load(cases[0]), SMALL), np.random.default_rng(0)
    drawn = [segmenter._patch(one, SMALL.patch, rng) for _ in range(200)]
    centres = [bool(regions[0, 6:10, 6:10].any()) for _, regions in drawn]
    assert sum(centres) > 110  # 50 % on purpose, some of the others by chance
    assert {tuple(images.shape) for images, _ in drawn} == {(4, 16, 16, 16)}


def test_cases_without_a_contrast_or_a_segmentation_are_left_out(tmp_path: Path) -> None:
    tiny.draw_case(tmp_path, "P0", seg=None)
    tiny.draw_case(tmp_path, "P1", t1=None)
    cases, said = find_cases(tmp_path), list[str]()
    with pytest.raises(UserError, match="no case to train a segmenter on"):
        trained(cases, SMALL, said.append)
    assert ["P0" in said[0], "segmentation" in said[0], "P1" in said[1], "T1" in said[1]] == [True] * 4
    trained(cases, replace(SMALL, contrasts=("T2",)))  # P1 has that


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(cases: list[Case]) -> None:
    first, again, other = (
        trained(cases[:2], replace(SMALL, seed=seed)).network.state_dict() for seed in (0, 0, 1)
    )  # fmt: skip
    assert all((first[key] == again[key]).all() for key in first)
    assert any((first[key] != other[key]).any() for key in first)


def test_a_case_that_cannot_be_read_is_left_out(cases: list[Case]) -> None:
    lost, said = replace(cases[0], contrasts={**cases[0].contrasts, "T1": Path("absent.nii.gz")}), list[str]()
    trained([lost, cases[1]], SMALL, said.append)
    assert said[0] == "case Tiny_0 teaches nothing: no such file"


def test_it_is_kept_and_not_trained_again(cases: list[Case], tmp_path: Path) -> None:
    first = opened(tmp_path, cases[:2], SMALL)
    stamp = (tmp_path / "weights.safetensors").stat().st_mtime_ns
    real = load(cases[0])
    again = opened(tmp_path, cases[:2], SMALL)
    assert (tmp_path / "weights.safetensors").stat().st_mtime_ns == stamp
    found = [one(real.images, real.brain, real.spacing) for one in (first, again)]
    assert all((found[0][region] == found[1][region]).all() for region in found[0])
    told = json.loads((tmp_path / "segmenter.json").read_text(encoding="utf-8"))
    assert told == first.told == again.told
    assert told["cases"] == [case.id for case in cases[:2]]
    assert told["config"]["steps"] == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["segmenter.json", "weights.safetensors"]


def test_one_that_was_trained_otherwise_is_neither_used_nor_overwritten(cases: list[Case], tmp_path: Path) -> None:
    opened(tmp_path, cases[:2], SMALL)
    before = [file.read_bytes() for file in sorted(tmp_path.iterdir())]
    for asked, config, words in (
        (cases[1:4], SMALL, "cases: 2 (Tiny_0), asked for 3 (Tiny_2, Tiny_3)"),
        (cases[1::-1], SMALL, "cases: 2 in another order, asked for 2"),
        (cases[:2], replace(SMALL, steps=3), "steps: 2, asked for 3"),
    ):
        with pytest.raises(UserError, match=re.escape(words)) as caught:
            opened(tmp_path, asked, config)
        assert "another folder" in caught.value.hint
    assert [file.read_bytes() for file in sorted(tmp_path.iterdir())] == before
    (tmp_path / "segmenter.json").write_text("[]")
    with pytest.raises(UserError, match="cases: None"):
        opened(tmp_path, cases[:2], SMALL)


def test_a_training_that_was_stopped_begins_again(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(segmenter, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, cases[:2], SMALL)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]
    assert opened(tmp_path, cases[:3], SMALL).told["cases"] == ["Tiny_0", "Tiny_1", "Tiny_2"]


def test_weights_that_cannot_be_read_are_told_of(cases: list[Case], tmp_path: Path) -> None:
    opened(tmp_path, cases[:2], SMALL)
    (tmp_path / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read"):
        opened(tmp_path, cases[:2], SMALL)


@pytest.mark.parametrize(("patch", "filters"), [(24, (4, 8, 16, 32)), (18, (4, 8, 16)), (16, (4, 8))])
def test_patches_that_do_not_fit_the_levels_are_refused(
    cases: list[Case], patch: int, filters: tuple[int, ...]
) -> None:
    with pytest.raises(UserError, match="at the last of"):
        trained(cases[:1], replace(SMALL, patch=patch, filters=filters))


def test_without_monai_it_says_what_to_install(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks.nets.dynunet", None)
    with pytest.raises(UserError) as caught:
        trained(cases[:1], SMALL)
    assert "polycontrast[monai]" in caught.value.hint
