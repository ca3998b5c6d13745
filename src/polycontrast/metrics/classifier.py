"""Which contrast does a slice show? A classifier that knows real slices names the synthetic ones.

StarGAN's own measure (Choi et al. 2018, section 5.3: the error of a classifier of facial expressions, trained on real
images, on synthetic ones). Here a small network sees single axial slices in normalised units inside the brain. Its
share of right names on real slices of the judged cases is the ceiling. It says whether an image shows the contrast
that was asked for, not whether it is right: a mean image would do well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from polycontrast.data import augment, grid
from polycontrast.data.augment import Augmentation
from polycontrast.data.intensity import Mask
from polycontrast.errors import UserError
from polycontrast.infer.cohort import volume_file
from polycontrast.io.files import atomic_write, read_json, write_json
from polycontrast.io.layout import Case
from polycontrast.io.volume import Array
from polycontrast.metrics.reference import Spacing, load, read_prediction
from polycontrast.nets.classifier import SliceClassifier

REAL = "real"  # the row of the ceiling, beside those of the systems
FRAME = grid.Frame(extent=240.0, size=96)  # 2.5 mm: what tells contrasts apart is coarse, how sharp an image is, fine
MIN_AREA = 2000.0  # mm^2 of brain: as training slices are chosen
SLICES = 24  # of a volume, at most
STEPS, BATCH, RATE = 1000, 32, 3e-3
VARIED = Augmentation(flip=0.5, rotate=8.0, scale=0.1, shift=0.03, gain=0.05)
RULES = 1  # raise when what a classifier is trained on, or how, changes
Shares = dict[str, dict[str, dict[str, float | None]]]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network; `contrasts`: its classes, in order."""

    network: SliceClassifier
    contrasts: tuple[str, ...]

    @torch.inference_mode()
    def named(self, slices: Array) -> list[str]:
        """slices [n, H, W] in normalised units, 0 outside the brain -> the contrast that each seems to show."""
        logits = self.network(torch.from_numpy(slices)[:, None])
        return [self.contrasts[i] for i in logits.argmax(dim=1).tolist()]

    def share(self, image: Array, brain: Mask, spacing: Spacing, contrast: str) -> float | None:
        """The share of a volume's slices that are named as this contrast; None if no slice shows enough brain."""
        slices = slices_of(image, brain, spacing)
        return self.named(slices).count(contrast) / len(slices) if len(slices) else None


def slices_of(image: Array, brain: Mask, spacing: Spacing) -> Array:
    """[X, Y, Z] in normalised units, canonical -> [n, 96, 96] axial slices of 240 mm, every k-th of those with enough
    brain so that n is at most 24; 0 outside the brain."""
    enough = np.flatnonzero(brain.sum(axis=(0, 1)) * spacing[0] * spacing[1] > MIN_AREA)
    if not enough.size:
        return np.zeros((0, FRAME.size, FRAME.size), dtype=np.float32)
    chosen = enough[:: -(-enough.size // SLICES)]
    inside = np.where(brain, image, np.float32(0))[:, :, chosen].transpose(2, 0, 1)
    start, width = FRAME.place(grid.bounding_box(brain), brain.shape, spacing), FRAME.pixels(spacing)
    return grid.resize(grid.cut(inside, start, width), (FRAME.size, FRAME.size))


def opened(folder: Path, cases: Sequence[Case], contrasts: Sequence[str], seed: int = 0) -> Classifier:
    """The classifier of these contrasts in `folder` if it was trained so and on these cases; else one trained now, and
    kept there."""
    file, told = folder / "weights.safetensors", folder / "classifier.json"
    made = {"rules": RULES, "contrasts": list(contrasts), "cases": [case.id for case in cases], "seed": seed}
    if file.exists() and told.exists() and read_json(told) == made:
        network = SliceClassifier(len(contrasts))
        network.load_state_dict(load_file(file))
        return Classifier(network.eval(), tuple(contrasts))
    classifier = trained(cases, contrasts, seed)
    told.unlink(missing_ok=True)  # a kill between the two writes must not leave another one's description
    with atomic_write(file) as part:
        save_file(classifier.network.state_dict(), part)
    write_json(told, made)
    return classifier


def trained(cases: Sequence[Case], contrasts: Sequence[str], seed: int = 0) -> Classifier:
    """A classifier of real slices of these cases, on the CPU: cross-entropy, Adam with a rate that falls to zero,
    slices mirrored, moved and scaled a little. The same seed and number of threads give the same bits.

    Raises UserError if a contrast has no slice.
    """
    slices, labels = _real_slices(cases, contrasts)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SliceClassifier(len(contrasts))
    adam = torch.optim.Adam(network.parameters(), RATE)
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        chosen = rng.integers(len(slices), size=BATCH)
        loss = F.cross_entropy(network(_varied(slices[chosen], rng)), torch.from_numpy(labels[chosen]))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return Classifier(network.eval(), tuple(contrasts))


def recognised(
    classifier: Classifier, cases: Sequence[Case], synthetic: Mapping[str, Path], want: Sequence[str]
) -> Shares:
    """{system, or "real": {contrast: {case: share of slices named rightly}}}; None where there is no volume.

    synthetic: system -> the folder that holds `<case>/<case>_<contrast>_synth.nii.gz`. The real images are the
    ceiling.
    """
    shares: Shares = {name: {contrast: {} for contrast in want} for name in (REAL, *synthetic)}
    for case in cases:
        for name, by_contrast in _shares_of(classifier, case, synthetic, want).items():
            for contrast, share in by_contrast.items():
                shares[name][contrast][case.id] = share
    return shares


def _shares_of(
    classifier: Classifier, case: Case, synthetic: Mapping[str, Path], want: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {name: dict.fromkeys(want) for name in (REAL, *synthetic)}
    try:
        real = load(case)
    except UserError:  # the evaluation says why
        return found
    for contrast in want:
        if contrast in real.images:
            found[REAL][contrast] = classifier.share(real.images[contrast], real.brain, real.spacing, contrast)
        for name, folder in synthetic.items():
            try:
                image = read_prediction(volume_file(folder / case.id, case.id, contrast), real)
            except UserError:  # the evaluation says why
                continue
            found[name][contrast] = classifier.share(image, real.brain, real.spacing, contrast)
    return found


def _real_slices(cases: Sequence[Case], contrasts: Sequence[str]) -> tuple[Array, NDArray[np.int64]]:
    """Every slice [n, H, W] and the index of its contrast [n]."""
    slices: list[Array] = []
    labels: list[int] = []
    for case in cases:
        real = load(case)
        for label, contrast in enumerate(contrasts):
            if contrast in real.images:
                slices.append(slices_of(real.images[contrast], real.brain, real.spacing))
                labels += [label] * len(slices[-1])
    if missing := [name for label, name in enumerate(contrasts) if label not in labels]:
        raise UserError(
            f"no real slice of {', '.join(missing)} in {len(cases)} cases to train a classifier of contrasts on",
            hint="look at the cases of this role with `polycontrast check`",
        )
    return np.concatenate(slices), np.array(labels)


def _varied(slices: Array, rng: np.random.Generator) -> Tensor:
    """[B, H, W] -> [B, 1, H, W], each by a transform of its own."""
    drawn = [augment.sample(VARIED, 1, rng) for _ in slices]
    images = torch.from_numpy(slices)[:, None]
    where = F.affine_grid(torch.tensor([t.matrix for t in drawn]), list(images.shape), align_corners=False)
    gains = torch.tensor([t.gains for t in drawn])[:, :, None, None]
    return gains * F.grid_sample(images, where, align_corners=False)
