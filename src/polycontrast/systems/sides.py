"""What systems that translate between two sides, A and B, without pairs share: CycleGAN, DiscoGAN and UNIT.

A is the contrast that is given, B the one that is wanted. Each side has a critic; into each leads a generator (`INTO`,
where the two are networks of their own).
"""

from torch import Tensor

from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData, DataConfig
from polycontrast.errors import UserError
from polycontrast.systems.base import System, joined

SIDES = ("a", "b")
OTHER = {"a": "b", "b": "a"}
INTO = {"a": "b_to_a", "b": "a_to_b"}  # the generator that makes images of this side
A_TO_B = INTO["b"]


def check_unpaired(name: str, data: AnyData, have: tuple[str, ...], want: tuple[str, ...]) -> None:
    """UserError unless one contrast is translated into one other, in single planes or patches, and no sample is a
    pair: a system that is said to need no pairs must not be given any."""
    if len(have) != 1 or len(want) != 1 or have == want:
        raise UserError(
            f"{name} translates one contrast into another, not {', '.join(have)} into {', '.join(want)}",
            hint="name one to have and one to want; of several wanted ones `train --want` makes a set of runs",
        )
    if data.paired:
        raise UserError(
            f"{name} learns from images that are not paired, these are",
            hint="set paired to false (of photographs: layout to unpaired), which shuffles each contrast by itself",
        )
    if isinstance(data, DataConfig) and data.slab != 1:
        raise UserError(f"{name} sees single slices, not slabs of {data.slab}", hint="set slab to 1")


def both_sides(batch: Batch, system: System) -> dict[str, Tensor]:
    """{"a": what is given, "b": what is wanted}, each [B, K, *size]: images of different things."""
    names = {"a": system.have, "b": system.want}
    return {side: joined(batch, system.data.contrasts, names[side]) for side in SIDES}
