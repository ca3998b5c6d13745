"""Does the model invent lesions, or lose them? Phantoms of the same heads with and without a lesion, from their T2.

    python benchmarks/lesions.py --model any2any --seeds 4

Prints the volume that is brighter than any healthy tissue should be on synthetic FLAIR: in the lesioned head, in the
same head without a lesion, and in the lesioned head's own FLAIR. The threshold is between the oedema and the brightest
healthy tissue of the real FLAIR of the lesioned phantom. Lesions of real patients: `paired.py`, columns of the tumour.
"""

import argparse

import numpy as np

from common import machine, table
from polycontrast.data import intensity, phantom
from polycontrast.device import choose, keep_memory
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.volume import Geometry, Volume
from polycontrast.workflows.demo import SHAPE, SPACING


def main() -> None:
    """A row per head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="any2any")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one small head: shows that it works")
    a = parser.parse_args()
    keep_memory()
    print(machine())
    model = Synthesizer.load(a.model, choose("auto"))
    shape, spacing = ((64, 64, 48), 3.5) if a.quick else (SHAPE, SPACING)
    rows = [row(model, seed, shape, spacing) for seed in range(100, 100 + (1 if a.quick else a.seeds))]
    header = ["head", "threshold", "real FLAIR, ml", "synthetic, ml", "synthetic without a lesion, ml", "share"]
    print(table(header, rows))


def row(model: Synthesizer, seed: int, shape: tuple[int, int, int], spacing: float) -> list[str]:
    """The volumes of one head."""
    ill, well = (phantom.make(seed, shape, spacing, lesion=lesion) for lesion in (True, False))
    real = normalised(ill)
    bright, healthy = real[ill.segmentation == 2], real[ill.brain & (ill.segmentation == 0)]
    threshold = float((np.median(bright) + np.percentile(healthy, 99)) / 2)
    ml = spacing**3 / 1000
    found = [float((flair(model, one)[one.brain] > threshold).sum()) * ml for one in (ill, well)]
    own = float((real[ill.brain] > threshold).sum()) * ml
    share = f"{found[1] / found[0]:.2%}" if found[0] else "-"
    return [str(seed), f"{threshold:.2f}", f"{own:.1f}", f"{found[0]:.1f}", f"{found[1]:.2f}", share]


def normalised(head: phantom.Phantom) -> np.ndarray:
    """The phantom's own FLAIR in normalised units."""
    return intensity.fit(head.contrasts["FLAIR"], head.brain).apply(head.contrasts["FLAIR"], head.brain)


def flair(model: Synthesizer, head: phantom.Phantom) -> np.ndarray:
    """Synthetic FLAIR of the phantom's T2."""
    geometry = Geometry.from_affine(head.segmentation.shape, head.affine)
    made = model({"T2": Volume(head.contrasts["T2"], geometry)}, ["FLAIR"])
    return np.asarray(made["FLAIR"].array)


if __name__ == "__main__":
    main()
