"""What raising the power of a model's detail towards the real images' costs: sharper pictures without new information.

    python benchmarks/detail.py --model RUN --data DATA --split SPLIT --role train --patients 8

Of an estimate that is blurred because it is unsure, Freirich et al. (NeurIPS 2021, "A theory of the
distortion-perception tradeoff in Wasserstein space") show that the cheapest way to real power is a gain at every
frequency, and a part of the way costs the square of that part. `--shares` are such parts: at 0 nothing is changed, at 1
detail is as strong as in real images, on the mean over these patients. The gains are fitted on the same patients: what
comes out is the best case. Never run on the role *test*.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import table
from judge import CONTRASTS, FREQUENCIES, Array, Mask, arguments, mean, values_of
from polycontrast.contrasts import canonical_set
from polycontrast.data.cache import Entry
from polycontrast.device import choose, keep_memory
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.metrics.sharpness import power_spectrum, slice_transforms
from polycontrast.workflows.calibrate import made, stored
from polycontrast.workflows.cohort import cached_cases

GRID = np.arange(0.0, 0.41, 0.01)  # cycles/mm; what is finer keeps the last gain
SHOWN = (
    *("psnr", "ssim", "nmae"),
    *(f"{of} {frequency}" for of in ("power", "ring correlation") for frequency in FREQUENCIES),
)
Curve = NDArray[np.float64]


def main() -> None:
    """A row per contrast and share, means over patients."""
    parser = arguments(__doc__)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", default="any2any")
    parser.add_argument("--role", default="train")
    parser.add_argument("--patients", type=int, default=8, help="the first of the role")
    parser.add_argument("--have", default="T2")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0])
    a = parser.parse_args()
    keep_memory()
    model = Synthesizer.load(a.model, choose(a.device))
    entries = cached_cases(a.data, a.split, a.role, CONTRASTS, a.cache, quiet=True)[: a.patients]
    have = canonical_set(a.have)
    with ThreadPoolExecutor(a.threads) as pool:
        cases = list(pool.map(lambda entry: pairs_of(model, entry, have), entries))
    rows = []
    for name in dict.fromkeys(name for pairs, _ in cases for name in pairs):
        known = [(pairs[name], entry) for (pairs, _), entry in zip(cases, entries, strict=True) if name in pairs]
        brains = [mask for pairs, mask in cases if name in pairs]
        ratio = np.mean([ratio_of(*pair, brain, entry) for (pair, entry), brain in zip(known, brains, strict=True)], 0)
        for share in a.shares:
            gain = 1 + share * (1 / np.sqrt(ratio) - 1)
            judged = [
                values_of(truth, raised(image, gain, brain, e.spacing), brain, np.zeros_like(brain), e.spacing)
                for ((truth, image), e), brain in zip(known, brains, strict=True)
            ]
            rows.append([name, f"{share:g}", *(mean([v[key] for v in judged], ".4f") for key in SHOWN)])
    print(table(["contrast", "share", *SHOWN], rows))


def pairs_of(model: Synthesizer, entry: Entry, have: Sequence[str]) -> tuple[dict[str, tuple[Array, Array]], Mask]:
    """{contrast: (real, synthetic)} and the brain."""
    images, mask = stored(entry)
    return {name: (images[name], image) for name, (image, _) in made(model, images, mask, entry, have).items()}, mask


def ratio_of(truth: Array, image: Array, brain: Mask, entry: Entry) -> Curve:
    """The image's power over the truth's on GRID."""
    spectra = [power_spectrum(x, brain, entry.spacing) for x in (truth, image)]
    real, synthetic = (np.interp(GRID, *spectrum) for spectrum in spectra if spectrum is not None)
    return np.asarray(synthetic / real)


def raised(image: Array, gain: Curve, brain: Mask, spacing: tuple[float, float, float]) -> Array:
    """The image with the detail of every slice, tapered to the brain's edge, times a gain by its frequency."""
    out, edges = image.copy(), spacing[:2]
    axes = [np.fft.fftfreq(n, edge) for n, edge in zip(image.shape[:2], edges, strict=True)]
    more = np.interp(np.hypot(*np.meshgrid(*axes, indexing="ij")), GRID, gain) - 1
    slices = np.flatnonzero(brain.any(axis=(0, 1)))
    for k, (transform, _) in zip(slices, slice_transforms(image, brain, edges), strict=True):
        out[:, :, k] += np.fft.ifft2(more * transform).real.astype(np.float32)
    return np.where(brain, out, np.float32(0))


if __name__ == "__main__":
    main()
