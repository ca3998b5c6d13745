"""Weights of the original repositories, by key maps: what a module is called there and what it is called here.

Read off the public sources, which build these generators as nested `Sequential`s, so that a key is a path of positions:

* "stargan": yunjey/stargan, `<iteration>-G.ckpt`. Positions as here. Its instance norm collects running statistics,
  which its own test never uses: they are left out.
* "pix2pix": junyanz/pytorch-CycleGAN-and-pix2pix, `latest_net_G.pth` of `unet_128` or `unet_256` with batch norm. Each
  level lies inside the one above it.
* "cyclegan": the same, `latest_net_G.pth` of `resnet_6blocks` or `resnet_9blocks` without dropout. Padding by
  reflection counts as a layer there. Files of PyTorch before 0.4 hold running statistics of instance norm: left out.
* "tcmgan": hellopipu/TC-MGAN, `generator_t2_tumor.pth`: the `unet_128` of pix2pix with instance norm and biases; T2 and
  three label planes in.

The published files themselves were not at hand: what is certain is the sources' nesting. Nothing here touches a file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from torch import Tensor

from polycontrast.errors import UserError
from polycontrast.nets.residual_generator import ResidualBlock, ResidualGenerator
from polycontrast.nets.skip_generator import SkipGenerator

Kind = Literal["stargan", "pix2pix", "cyclegan", "tcmgan"]
Weights = Mapping[str, Tensor]

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BLOCK = re.compile(r"(main\.\d+\.main|model\.\d+\.conv_block)\.")
_HINT = "give the file of the generator, and the kind of the repository that wrote it"


@dataclass(frozen=True)
class Sizes:
    """A generator as its weights tell it: channels in and out, the narrowest width, levels or residual blocks."""

    inputs: int
    outputs: int
    base: int
    depth: int


def unwrapped(weights: Weights) -> dict[str, Tensor]:
    """The weights without the prefix `module.`, which DataParallel puts before every key."""
    wrapped = all(key.startswith("module.") for key in weights)
    return {key.removeprefix("module.") if wrapped else key: value for key, value in weights.items()}


def sizes(kind: Kind, weights: Weights) -> Sizes:
    """What generator these weights are of; UserError if its first or last convolution is not where this kind has it."""
    if kind in ("pix2pix", "tcmgan"):
        levels = next(n for n in count() if not any(key.startswith(f"{_level(n)}.") for key in weights))
        names = skip_modules(levels)
        first = _found(kind, weights, f"{names['down.0.0']}.weight", (None, None, 4, 4))
        last = _found(kind, weights, f"{names['up.0.1']}.weight", (None, None, 4, 4))
        return Sizes(first.shape[1], last.shape[1], first.shape[0], levels)  # last is transposed: [in, out, 4, 4]
    blocks = len({match[0] for key in weights if (match := _BLOCK.match(key))})
    names = residual_modules(blocks, reflected=kind == "cyclegan")
    start, *_, end = names.values()
    first = _found(kind, weights, f"{start}.weight", (None, None, 7, 7))
    last = _found(kind, weights, f"{end}.weight", (None, None, 7, 7))
    return Sizes(first.shape[1], last.shape[0], first.shape[0], blocks)


def converted(kind: Kind, weights: Weights, network: SkipGenerator | ResidualGenerator) -> dict[str, Tensor]:
    """The state dict of our network (the first for pix2pix and tcmgan, the second for cyclegan and stargan).

    UserError names the first key that is missing, has another shape, or is of no use here, with what was found and what
    was expected. Counts of batches, which PyTorch before 0.4.1 did not keep, are 0 where absent.
    """
    if isinstance(network, SkipGenerator):
        names = skip_modules(len(network.down))
    else:
        blocks = sum(isinstance(part, ResidualBlock) for part in network.layers)
        names = residual_modules(blocks, reflected=kind == "cyclegan")
    out: dict[str, Tensor] = {}
    unused = dict(weights)
    for key, own in network.state_dict().items():
        module, _, leaf = key.rpartition(".")
        name = f"{names[module]}.{leaf}"
        kept = leaf != "num_batches_tracked" or name in weights
        value = _found(kind, weights, name, own.shape) if kept else own
        out[key] = value.detach().to(own.dtype, copy=True)
        unused.pop(name, None)
    for name, value in unused.items():
        if name.rpartition(".")[2] not in _STATISTICS:
            raise UserError(f"found {_told(name, value)}, expected nothing of this name in a {kind} generator", _HINT)
    return out


def skip_modules(levels: int) -> dict[str, str]:
    """{a module of `SkipGenerator`: its name in a U-Net of nested levels}."""
    names = {"down.0.0": f"{_level(0)}.0", "up.0.1": f"{_level(0)}.3"}
    for n in range(1, levels):
        inside = _level(n)
        names[f"down.{n}.1"] = f"{inside}.1"
        if n < levels - 1:
            names |= {f"down.{n}.2": f"{inside}.2", f"up.{n}.1": f"{inside}.5", f"up.{n}.2": f"{inside}.6"}
        else:  # neither a norm on the way down nor a level inside
            names |= {f"up.{n}.1": f"{inside}.3", f"up.{n}.2": f"{inside}.4"}
    return names


def residual_modules(blocks: int, reflected: bool) -> dict[str, str]:
    """{a module of `ResidualGenerator`: its name there, in the same order}.

    reflected: as CycleGAN names it, with a padding layer before the first, the blocks' and the last convolution;
    otherwise as StarGAN does.
    """
    whole, part, shift = ("model", "conv_block", 1) if reflected else ("main", "main", 0)
    names = {f"layers.{i}": f"{whole}.{i + shift}" for i in (0, 1, 3, 4, 6, 7)}
    for block in range(9, 9 + blocks):
        for i in (0, 1, 3, 4):
            padded = i + shift * (1 if i < 3 else 2)
            names[f"layers.{block}.layers.{i}"] = f"{whole}.{block + shift}.{part}.{padded}"
    names |= {f"layers.{i + blocks}": f"{whole}.{i + blocks + shift}" for i in (9, 10, 12, 13)}
    return names | {f"layers.{15 + blocks}": f"{whole}.{15 + blocks + 2 * shift}"}


def _level(n: int) -> str:
    """The name of the U-Net's level n: the second is the outermost's layer 1, each further one its outer's layer 3."""
    return "model.model" + (".1.model" + ".3.model" * (n - 1) if n else "")


def _found(kind: Kind, weights: Weights, name: str, expected: Sequence[int | None]) -> Tensor:
    """The weight of this name and shape (None: of any length but 0)."""
    shape = f"[{', '.join('any' if n is None else str(n) for n in expected)}]"
    if name not in weights:
        first = next((_told(*item) for item in weights.items()), "nothing")
        raise UserError(f"no {name!r}, expected in a {kind} generator as {shape}; the file begins with {first}", _HINT)
    found = weights[name].shape
    if len(found) != len(expected) or any(e not in (None, n) or not n for n, e in zip(found, expected, strict=True)):
        raise UserError(f"found {_told(name, weights[name])}, expected {shape} in a {kind} generator", _HINT)
    return weights[name]


def _told(name: str, value: Tensor) -> str:
    return f"{name!r} of shape {list(value.shape)}"
