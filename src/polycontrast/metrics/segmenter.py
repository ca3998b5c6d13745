"""A segmenter of the three BraTS regions, trained on real contrasts: the judge of what synthetic ones are good for.

The architecture and the training are nnU-Net's for BraTS (Isensee et al., Nature Methods 2021; BraTS 2020,
arXiv:2011.00848), made small: MONAI's DynUNet, one sigmoid a region instead of exclusive classes, batch Dice plus
binary cross-entropy, patches centred on tumour as often as not, moved, mirrored and brightened at random. The grid is
coarser, the network narrower and the training far shorter than theirs, so that two cores train it in under an hour: it
is made to compare inputs, not to win.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from polycontrast.data import augment, grid
from polycontrast.data.augment import Augmentation
from polycontrast.data.intensity import Mask
from polycontrast.data.patches import resample, ways
from polycontrast.errors import UserError
from polycontrast.io.files import atomic_write, read_json, write_json
from polycontrast.io.labels import REGIONS
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array
from polycontrast.metrics.reference import Real, Spacing, load
from polycontrast.precision import has_bfloat16

WEIGHTS, TOLD = "weights.safetensors", "segmenter.json"
RULES = 1  # raise when what a segmenter is trained on, or how, changes
NOTIFY_EVERY = 50
VARIED = Augmentation(flip=0.5, rotate=10.0, scale=0.1, shift=0.0, gain=0.1)
OFFSET = 0.05  # SD of what is added to a contrast, in normalised units
TUMOUR_SHARE = 0.5  # of the patches: centred on a voxel of a region, the regions alike often
DECAY, CLIP = 3e-5, 12.0  # nnU-Net's weight decay and largest norm of a gradient
_SMALLEST = 4  # voxels along an edge at the bottleneck: torch's bfloat16 gradients are wrong where a kernel is larger
Notify = Callable[[str], None]


@dataclass(frozen=True)
class SegmenterConfig:
    """contrasts: the network's channels, in order. spacing: voxel edge in mm. patch: a patch's edge in voxels.

    filters: of each level, every one half as fine as the last. batch, steps, rate: of the training; the rate falls to
    zero as (1 - step / steps)^0.9. bfloat16: networks compute so where the CPU is made for it, losses never.
    """

    contrasts: tuple[str, ...]
    spacing: float = 2.0
    patch: int = 64
    filters: tuple[int, ...] = (16, 32, 64, 128)
    batch: int = 2
    steps: int = 1200
    rate: float = 3e-3
    seed: int = 0
    bfloat16: bool = True


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network and how it was made. cases: the ids of those that it was to be trained on."""

    network: nn.Module
    config: SegmenterConfig
    cases: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What its description holds, `TOLD` beside the weights."""
        return _told(self.config, self.cases)

    def __call__(self, images: Mapping[str, Array | None], brain: Mask, spacing: Spacing) -> dict[str, Mask]:
        """{"whole", "core", "enhancing": mask [X, Y, Z]}, each within the one before and all within the brain.

        images: normalised volumes [X, Y, Z], canonical, by contrast; one that is absent or None is a channel of zeros,
        one that the segmenter does not know is not looked at. spacing: mm. Where the probability, computed in
        overlapping windows on the network's grid and interpolated linearly, is above a half.
        """
        box = grid.bounding_box(brain)
        inside = grid.crop(brain, box)
        there, back = ways(inside.shape, spacing, self.config.spacing)
        channels = np.zeros((len(self.config.contrasts), *inside.shape), dtype=np.float32)
        for channel, name in zip(channels, self.config.contrasts, strict=True):
            if (image := images.get(name)) is not None:
                channel[inside] = grid.crop(image, box)[inside]  # nothing is outside the brain in training either
        found = resample(self._probabilities(resample(channels, there)), back) > 0.5
        nested = np.logical_and.accumulate(np.concatenate([inside[None], found]))[1:]
        return {region: grid.uncrop(mask, box, brain.shape) for region, mask in zip(REGIONS, nested, strict=True)}

    @torch.inference_mode()
    def _probabilities(self, channels: Array) -> Array:
        """[C, X, Y, Z] on the network's grid -> [3, X, Y, Z] in [0, 1]."""
        from monai.inferers.utils import sliding_window_inference

        def predict(windows: Tensor) -> Tensor:
            return _logits(self.network, windows, self.config).sigmoid()

        windows, size = torch.from_numpy(channels)[None], self.config.patch
        found = sliding_window_inference(windows, size, self.config.batch, predict, overlap=0.5, mode="gaussian")
        assert isinstance(found, Tensor)
        return found[0].numpy()


@dataclass(frozen=True, eq=False)
class Sample:
    """A case on the network's grid: images [C, X, Y, Z]; regions [3, X, Y, Z] and inside [1, X, Y, Z], bool; known [3]:
    which regions its segmentation can tell."""

    images: Array
    regions: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    known: tuple[bool, ...]


def truth(real: Real) -> dict[str, Mask | None]:
    """The case's own regions, masks [X, Y, Z]; None where nobody has said or the segmentation's values cannot tell."""
    masks = dict(zip(REGIONS, (real.tumour, real.regions["core"], real.regions["enhancing"]), strict=True))
    return {region: mask if region in real.told else None for region, mask in masks.items()}


def opened(folder: Path, cases: Sequence[Case], config: SegmenterConfig, notify: Notify = lambda _: None) -> Segmenter:
    """The segmenter in `folder`; one trained now, and kept there, if there is none.

    Raises UserError as `trained` does, if the one in the folder was trained otherwise or on other cases (others may
    rely on it, and it took long), and if its weights cannot be read.
    """
    file, told = folder / WEIGHTS, folder / TOLD
    ids = tuple(case.id for case in cases)
    if told.exists() and (differences := _differences(read_json(told), _told(config, ids))):
        hint = "keep the new one in another folder: --segmenter FOLDER"
        raise UserError(f"this segmenter is another one: {'; '.join(differences)}", hint, folder)
    if file.exists() and told.exists():
        network = _network(config)
        try:
            load_model(network, file)
        except (SafetensorError, RuntimeError, OSError) as error:
            hint = "remove the folder: the segmenter is then trained anew"
            raise UserError(f"cannot be read as a segmenter's weights: {error}", hint, file) from None
        return Segmenter(network.eval(), config, ids)
    segmenter = trained(cases, config, notify)
    with atomic_write(file) as part:
        save_model(segmenter.network, str(part))  # DynUNet names each layer twice; it is stored once
    write_json(told, segmenter.told)
    return segmenter


def _told(config: SegmenterConfig, cases: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps({"rules": RULES, "config": asdict(config), "cases": cases}))
    return made


def _differences(found: Any, asked: Mapping[str, Any]) -> list[str]:
    """In which ways a segmenter's description is not the one that is asked for, in words."""
    own, wanted = ({**one, **one.get("config", {})} if isinstance(one, dict) else {} for one in (found, asked))
    return [
        f"{key}: {_listed(own.get(key), value)}, asked for {_listed(value, own.get(key))}"
        for key, value in wanted.items() if key != "config" and own.get(key) != value
    ]  # fmt: skip


def _listed(value: Any, other: Any) -> str:
    """A value as text; of two lists what the other lacks, and five of that at most."""
    if not (isinstance(value, list) and isinstance(other, list)):
        return str(value)
    apart = [str(one) for one in value if one not in other]
    if not apart:
        return f"{len(value)}{' in another order' if len(value) == len(other) else ''}"
    return f"{len(value)} ({', '.join(apart[:5])}{' ...' if apart[5:] else ''})"


def trained(cases: Sequence[Case], config: SegmenterConfig, notify: Notify = lambda _: None) -> Segmenter:
    """A segmenter trained on the real contrasts of these cases, on the CPU. The same seed and number of threads give
    the same bits. notify: called with a line every 50 steps.

    Cases that cannot be read, or lack a contrast or a segmentation, are left out, and notify says so. A region that a
    case's segmentation cannot tell is not learnt from that case. Raises UserError if no case is left or the patch does
    not fit the levels.
    """
    network, rng = _network(config), np.random.default_rng(config.seed)
    samples = _samples(cases, config, notify)
    optimiser = torch.optim.AdamW(network.parameters(), config.rate, weight_decay=DECAY)
    started, losses = time.monotonic(), []
    for step in range(config.steps):
        optimiser.param_groups[0]["lr"] = config.rate * (1 - step / config.steps) ** 0.9
        images, regions, known = _batch(samples, config, rng)
        loss = _loss(_logits(network, images, config), regions, known)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        losses.append(loss.item())
        if (step + 1) % NOTIFY_EVERY == 0 or step + 1 == config.steps:
            recent = np.mean(losses[-NOTIFY_EVERY:])
            notify(f"step {step + 1} of {config.steps}: loss {recent:.3f}, {time.monotonic() - started:.0f} s")
    return Segmenter(network.eval(), config, tuple(case.id for case in cases))


def sample(real: Real, config: SegmenterConfig) -> Sample:
    """A case that has the segmenter's contrasts, resampled to its grid and no smaller than a patch."""
    box = grid.bounding_box(real.brain)
    there, _ = ways(grid.crop(real.brain, box).shape, real.spacing, config.spacing)
    images = np.stack([grid.crop(real.images[name], box) for name in config.contrasts])
    masks, none = truth(real).values(), np.zeros_like(real.brain)
    drawn = [real.brain, *(none if mask is None else mask for mask in masks)]
    shares = resample(np.stack([grid.crop(mask, box) for mask in drawn]).astype(np.float32), there)
    inside, regions = np.split(_padded(shares, config.patch) >= 0.5, [1])
    known = tuple(mask is not None for mask in masks)
    return Sample(_padded(resample(images, there), config.patch), regions, inside, known)


def _samples(cases: Sequence[Case], config: SegmenterConfig, notify: Notify) -> list[Sample]:
    samples = []
    for case in cases:
        try:
            real = load(case)
        except UserError as error:
            notify(f"case {case.id} teaches nothing: {error.message}")
            continue
        missing = [name for name in config.contrasts if name not in real.images]
        if missing or not real.told:
            notify(f"case {case.id} teaches nothing: it has no {', '.join(missing) or 'segmentation that can be used'}")
            continue
        samples.append(sample(real, config))
    if not samples:
        found = f"no case to train a segmenter on: none of {len(cases)} has {', '.join(config.contrasts)} and a"
        raise UserError(f"{found} segmentation", hint="look at the cases of this role with `polycontrast check`")
    return samples


def _batch(
    samples: Sequence[Sample], config: SegmenterConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """images [B, C, X, Y, Z], regions [B, 3, X, Y, Z] and known [B, 3, 1, 1, 1] as float32."""
    chosen = [samples[i] for i in rng.integers(len(samples), size=config.batch)]
    images, regions = zip(*(_patch(one, config.patch, rng) for one in chosen), strict=True)
    known = torch.tensor([one.known for one in chosen], dtype=torch.float32)
    return torch.stack(images), torch.stack(regions).float(), known[:, :, None, None, None]


def _patch(one: Sample, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A patch of the case, moved, mirrored and brightened at random, with its regions."""
    at = (slice(None), *(slice(first, first + size) for first in _corner(one, size, rng)))
    # Augmentation acts on axial slices [., K, H, W]: what moves in plane moves alike in all slices of a patch.
    parts = [torch.from_numpy(a[at]).movedim(-1, 1) for a in (one.images, one.inside, one.regions)]
    drawn = augment.sample(VARIED, len(one.images), rng)
    images, inside, regions = augment.apply(drawn, parts[0], parts[1], parts[2])
    offsets = torch.from_numpy(rng.normal(0, OFFSET, len(images)).astype(np.float32))
    return (images + offsets[:, None, None, None] * inside).movedim(1, -1), regions.movedim(1, -1)


def _corner(one: Sample, size: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Where a patch starts: half of them around a voxel of one of the tumour's regions, none beyond the volume."""
    most = [n - size for n in one.inside.shape[1:]]
    there = [region for region in one.regions if region.any()]
    if not there or rng.random() >= TUMOUR_SHARE:
        return tuple(int(rng.integers(m + 1)) for m in most)
    region = there[rng.integers(len(there))]
    centre = np.unravel_index(rng.choice(np.flatnonzero(region)), region.shape)
    return tuple(min(max(int(c) - size // 2, 0), m) for c, m in zip(centre, most, strict=True))


def _loss(logits: Tensor, regions: Tensor, known: Tensor) -> Tensor:
    """Soft Dice over the batch, a region each, plus binary cross-entropy; unknown regions (known = 0) add nothing."""
    from monai.losses.dice import DiceLoss

    dice = DiceLoss(batch=True)(logits.sigmoid() * known, regions)
    entropy = F.binary_cross_entropy_with_logits(logits, regions, weight=known.expand_as(regions))
    total: Tensor = dice + entropy
    return total


def _logits(network: nn.Module, images: Tensor, config: SegmenterConfig) -> Tensor:
    native = config.bfloat16 and has_bfloat16(torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=native):
        logits: Tensor = network(images)
    return logits.float()


def _network(config: SegmenterConfig) -> nn.Module:
    """A new DynUNet, the same for the same seed. UserError without MONAI, or if the patch does not fit the levels."""
    try:
        from monai.networks.nets.dynunet import DynUNet
    except ImportError:
        raise UserError("MONAI is not installed", hint='pip install "polycontrast[monai]"') from None
    levels = len(config.filters)
    edge = config.patch / 2 ** (levels - 1)
    if levels < 3 or edge != int(edge) or edge < _SMALLEST:
        found = f"patches of {config.patch} voxels are {edge:g} at the last of {levels} levels"
        raise UserError(found, hint=f"a whole number of at least {_SMALLEST} is needed, and 3 levels or more")
    halved: list[int] = [2] * (levels - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return DynUNet(
            3, len(config.contrasts), len(REGIONS),
            kernel_size=[3] * levels, strides=[1, *halved], upsample_kernel_size=halved, filters=config.filters,
        )  # fmt: skip


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    """[., X, Y, Z] with zeros around it, so that no edge is shorter than `size`."""
    lacking = [max(0, size - n) for n in array.shape[1:]]
    return np.pad(array, [(0, 0), *((n // 2, n - n // 2) for n in lacking)])
