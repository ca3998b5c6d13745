"""The protocol `polycontrast`: nothing is rescaled away.

The truth is in its own normalised units (brain mean 0.5, SD 0.25, per volume), the prediction in normalised units as it
comes: a wrong gain or offset is error. The data range is the truth's 0.5-99.5 percentile span in the brain.
"""

from polycontrast.io.volume import Array
from polycontrast.metrics import regions
from polycontrast.metrics.measures import METRICS, Pair
from polycontrast.metrics.protocols.base import Protocol, Values
from polycontrast.metrics.reference import Reference


def judge(against: Reference, image: Array) -> dict[str, Values]:
    """Every measure in every region. image: [X, Y, Z] in normalised units."""
    pair = Pair(against.truth, image, against.data_range, against.brain, against.niqe)
    return {
        region: {name: metric.of(pair, mask) for name, metric in METRICS.items()}
        for region, mask in against.regions.items()
    }


POLYCONTRAST = Protocol(
    name="polycontrast",
    description={
        "normalisation": "truth: per volume, its brain mean -> 0.5 and one SD -> 0.25, background 0, no clipping; "
        "prediction: normalised units as it comes",
        "mask": regions.DESCRIPTION,
        "data_range": "0.5-99.5 percentile span of the truth in the brain, per volume, for every region",
        "per": "volume; means are over patients, never over slices",
    },
    regions=regions.REGIONS,
    columns=tuple(METRICS),
    judge=judge,
)
