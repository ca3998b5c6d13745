"""The contract of a system: one published method, its networks, its losses and its way to synthesise.

The loop owns optimisers, precision, gradient all-reduce, clipping, EMA, logging and files. A system never reads a file
and never steps an optimiser.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polycontrast.data.batches import Batch
from polycontrast.data.configs import AnyData
from polycontrast.errors import UserError

T = TypeVar("T")
GENERATOR, DISCRIMINATOR, SEGMENTER = "generator", "discriminator", "segmenter"  # the players' names in every system


class Term(NamedTuple):
    """A named term of a loss: the log shows `value`, the turn minimises the sum of weight * value."""

    value: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam of one player. schedule: (fraction of the phase's images, rate), the first at 0; the rate steps there or, if
    `linear`, is interpolated."""

    schedule: tuple[tuple[float, float], ...] = ((0.0, 2e-4),)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    linear: bool = False

    def rate(self, fraction: float) -> float:
        """The learning rate when this fraction of the phase's images has been seen."""
        if self.linear:
            return float(np.interp(fraction, [f for f, _ in self.schedule], [rate for _, rate in self.schedule]))
        return [rate for start, rate in self.schedule if start <= fraction][-1]


def falling(rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> OptimiserConfig:
    """Adam whose rate holds for half of the phase and then falls linearly to zero (CycleGAN, section 4)."""
    return OptimiserConfig(((0.0, rate), (0.5, rate), (1.0, 0.0)), betas, linear=True)


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its name, its length in images and the players that take turns in it, in order."""

    name: str
    images: int
    turns: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """Where a step stands: its phase's name and the players that take a turn in it, in order."""

    phase: str
    turns: tuple[str, ...]


class SampleRng:
    """Random numbers that belong to samples: each derives from (seed, the sample's global index) alone."""

    def __init__(self, seed: int, index: Sequence[int], device: torch.device) -> None:
        self._streams = [np.random.default_rng((seed, 3, i)) for i in index]
        self._device = device

    def integers(self, high: int) -> Tensor:
        """[B] whole numbers in [0, high)."""
        return torch.tensor([int(s.integers(high)) for s in self._streams], device=self._device)

    def uniform(self) -> Tensor:
        """[B] float64 numbers in [0, 1) (float32 where the device has nothing wider)."""
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        return torch.tensor([s.random() for s in self._streams], dtype=dtype, device=self._device)

    def each(self, draw: Callable[[np.random.Generator], T]) -> list[T]:
        """Whatever a function draws from each sample's own stream, in order."""
        return [draw(stream) for stream in self._streams]

    def noise(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers [B, *shape], drawn on the device: fast, and the same on devices of a kind alone."""
        drawn = []
        for stream in self._streams:
            generator = torch.Generator(self._device).manual_seed(int(stream.integers(2**62)))
            drawn.append(torch.randn(tuple(shape), generator=generator, device=self._device))
        return torch.stack(drawn)

    def normal_like(self, x: Tensor) -> Tensor:
        """Standard normal numbers in the shape, type and place of x [B, ...]."""
        drawn = np.stack([s.standard_normal(x.shape[1:]) for s in self._streams])
        return torch.from_numpy(drawn).to(x.device, x.dtype)


class System(ABC):
    """One method. `players` are the groups of networks that share one optimiser and take turns.

    have, want: the contrasts it is given and makes. any_source: one of `have` suffices, and is told to it (a unified
    system); any_subset: any of them do, and all that are there are used; otherwise all are needed. usual: of several
    subsets the one that pictures of a training show, if not empty. most_have, most_want: how many of each it was made
    for, None for any number. synthesizers: the players that synthesis needs, whose weights are published. multiple:
    what every edge of an image must be a multiple of. bfloat16, channels_last: the players that `run` computes so (the
    loop sets them); losses and penalties are always outside autocast, in float32. reduced_precision: synthesis, too,
    may compute in bfloat16 where the device is made for it. computes_alone: in float32 on a CPU synthesis is faster by
    one slab in each thread than by batches (`nets.winograd`); `_synthesize` must change nothing then.
    """

    any_source: bool = False
    any_subset: bool = False
    most_have: int | None = None
    most_want: int | None = None
    multiple: int = 1
    players: dict[str, nn.Module]
    optimisers: dict[str, OptimiserConfig]
    have: tuple[str, ...]
    want: tuple[str, ...]
    usual: tuple[str, ...] = ()
    synthesizers: tuple[str, ...]
    reduced_precision: bool = False
    computes_alone: bool = False
    bfloat16: frozenset[str] = frozenset()
    channels_last: frozenset[str] = frozenset()

    def __init__(self, data: AnyData) -> None:
        self.data = data

    @abstractmethod
    def phases(self, images: int) -> list[Phase]:
        """How a training of this many images is divided."""

    def turns(self, phase: Phase, updates: int) -> tuple[str, ...]:  # noqa: ARG002
        """Who takes a turn in the step that follows `updates` others; all of the phase's players, unless overridden."""
        return phase.turns

    @abstractmethod
    def draw(self, batch: Batch, step: Step, rng: SampleRng) -> Any:
        """Once a step: everything random, and every fake that more than one turn uses."""

    @abstractmethod
    def losses(self, player: str, scene: Any) -> dict[str, Term]:
        """The named terms that this player minimises in its turn."""

    @abstractmethod
    def _synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """`synthesize` of images whose edges are multiples of `multiple`, with the networks in evaluation mode."""

    @torch.no_grad()
    def synthesize(self, images: Tensor, have: Sequence[str], want: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """images [B, len(have), K, H, W] in the system's units -> ([B, len(want), K', H, W], scale or None).

        K' is the data's `made` for slabs of slices, K for photographs and patches. Edges of any length: images are
        padded by their outermost values and the estimates cropped back. Nothing depends on the other images of a batch.
        """
        sides = self.data.dims
        padding = [p for n in reversed(images.shape[-sides:]) for p in (0, -n % self.multiple)] + [0, 0] * (3 - sides)
        padded = F.pad(images, padding, mode="replicate") if any(padding) else images
        with self.evaluating():
            made = self._synthesize(padded, have, want)
        image, scale = (None if x is None else _corner(x, images.shape[-sides:]) for x in made)
        assert image is not None
        return image, scale

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The networks that synthesis needs in evaluation mode. Threads that synthesise enter it together, from
        without: each by itself, the first to leave would have the others go on in training mode."""
        modes = {name: self.players[name].training for name in self.synthesizers}
        for name in modes:
            self.players[name].eval()
        try:
            yield
        finally:
            for name, mode in modes.items():
                self.players[name].train(mode)

    def sources(self, given: Collection[str]) -> tuple[str, ...]:
        """Which of the given contrasts it will use; a UserError if what it needs is not among them."""
        found = tuple(name for name in self.have if name in given)
        if (self.any_source or self.any_subset) and found:
            return found[:1] if self.any_source else found
        if not found or len(found) < len(self.have):
            either = self.any_source or self.any_subset
            needed = " or ".join(self.have) if either else ", ".join(n for n in self.have if n not in given)
            raise UserError(
                f"needs {needed}, found {', '.join(given) or 'nothing'}",
                hint="give that contrast, or use a model that was trained without it",
            )
        return found

    def targets(self, sources: Sequence[str]) -> tuple[str, ...]:
        """What it can make of these sources."""
        return tuple(name for name in self.want if name not in sources)

    def weights(self) -> dict[str, Tensor]:
        """What synthesis needs: `<player>.<parameter>`. The tensors themselves: to change them is to change it."""
        return {f"{p}.{k}": v for p in self.synthesizers for k, v in self.players[p].state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy such weights in, of any precision; a UserError if they are another system's."""
        for player in self.synthesizers:
            prefix = f"{player}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            try:
                self.players[player].load_state_dict(own)
            except RuntimeError as error:
                first = str(error).splitlines()[1].strip()
                hint = "weights go with the recipe that they were trained by"
                raise UserError(f"the weights are not those of the recipe: {first}", hint) from None

    def extra_state(self) -> dict[str, Any]:
        """What must survive a resume beside weights and optimisers (image pools and the like)."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__name__} keeps no extra state, found {sorted(state)}")

    def run(self, player: str, *inputs: Tensor, part: str = "") -> Any:
        """The player's network (or a part of it by its dotted name) on the inputs, under bf16 autocast if the player is
        in `bfloat16`; float32 comes back."""
        if player in self.channels_last:
            layout = torch.channels_last if self.data.dims == 2 else torch.channels_last_3d
            inputs = tuple(x.contiguous(memory_format=layout) for x in inputs)
        with torch.autocast(inputs[0].device.type, dtype=torch.bfloat16, enabled=player in self.bfloat16):
            out = self.players[player].get_submodule(part)(*inputs)
        return _widen(out)

    @property
    def precision(self) -> str:
        """In what it synthesises: "float32" or "bfloat16"."""
        return "bfloat16" if self.bfloat16 & set(self.synthesizers) else "float32"

    def use_channels_last(self, players: Iterable[str]) -> None:
        """Have these players computed in the channels-last layout."""
        self.channels_last = frozenset(players) & set(self.players)
        for name in self.channels_last:
            layout = torch.channels_last if self.data.dims == 2 else torch.channels_last_3d
            self.players[name].to(memory_format=layout)  # type: ignore[call-overload]

    def to(self, device: torch.device) -> "System":
        for network in self.players.values():
            network.to(device)
        return self


def _widen(out: Any) -> Any:
    if isinstance(out, tuple | list):
        return tuple(map(_widen, out))
    return out.float() if out.dtype is torch.bfloat16 else out


def _corner(x: Tensor, size: Sequence[int]) -> Tensor:
    for axis, n in zip(range(-len(size), 0), size, strict=True):
        x = x.narrow(axis, 0, n)
    return x
