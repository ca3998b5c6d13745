"""What systems that translate between two sides, A and B, without pairs share: CycleGAN, DiscoGAN and UNIT.

A is the contrast that is given, B the one that is wanted. Each side has a critic; into each leads a generator (`INTO`,
where the two are networks of their own).
"""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from polycontrast.data.batches import Batch
from polycontrast.systems.base import GENERATOR, System, Term
from polycontrast.systems.channels import as_channels, as_contrasts, joined

SIDES = ("a", "b")
OTHER = {"a": "b", "b": "a"}
INTO = {"a": "b_to_a", "b": "a_to_b"}  # the generator that makes images of this side
S = TypeVar("S")


def both_sides(batch: Batch, system: System) -> dict[str, Tensor]:
    """{"a": what is given, "b": what is wanted}, each [B, K, *size]: images of different things."""
    names = {"a": system.have, "b": system.want}
    return {side: joined(batch, system.data.contrasts, names[side]) for side in SIDES}


def terms_of_sides(turn: Callable[[str, S], dict[str, Term]], scene: S) -> dict[str, Term]:
    """The terms of a player's turn, of side A and of side B."""
    return {name: term for side in SIDES for name, term in turn(side, scene).items()}


def into(system: System, side: str, images: Tensor) -> Tensor:
    """What the generator into this side makes of images, [B, K, *size] both."""
    made: Tensor = system.run(GENERATOR, images, part=INTO[side])
    return made


def a_to_b(system: System, images: Tensor) -> Tensor:
    """`_synthesize` of images [B, 1, K, *size] by the generator that leads to B."""
    dims = system.data.dims
    return as_contrasts(into(system, "b", as_channels(images, dims)), 1, dims)
