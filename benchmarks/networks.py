"""Each network of a recipe by itself: forward and backward in either layout and precision.

This is what the recipes' `bfloat16` and `channels_last` fields rest on. The last column says how far the gradient of
the weights, taken in bfloat16, is from float32's.
"""

import argparse
import itertools
import statistics
import time
from concurrent.futures import Executor

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ceiling import LAYOUTS
from common import QUICK_RECIPE, fresh, machine, phantom_slices, prepared, table, trainer
from polycontrast import losses
from polycontrast.nets.layers import with_planes
from polycontrast.systems.base import SampleRng, Step
from polycontrast.systems.tcmgan import DISCRIMINATOR, GENERATOR, SEGMENTER, Scene, Tcmgan

PENALTY = "gradient penalty"
PARTS = {GENERATOR: GENERATOR, DISCRIMINATOR: DISCRIMINATOR, SEGMENTER: SEGMENTER, PENALTY: DISCRIMINATOR}
BFLOAT16 = {"float32": False, "bfloat16": True}


def report(process: Executor, recipe: str, batch: int, rounds: int) -> str:
    """A Markdown table, ms per image, the fastest in bold; measured in the given process."""
    times, errors = process.submit(_measure, recipe, batch, rounds).result()
    columns = list(itertools.product(BFLOAT16, LAYOUTS))
    rows = []
    for part in PARTS:
        row = {column: times[part, *column] * 1000 / batch for column in columns}
        cells = [f"**{ms:.1f}**" if ms == min(row.values()) else f"{ms:.1f}" for ms in row.values()]
        rows.append([part, *cells, f"{errors[part]:.1e}"])
    header = [f"ms per image, batch {batch}", *[f"{p} {layout}" for p, layout in columns]]
    return table([*header, "gradient's relative error in bfloat16"], rows)


def penalty_flops(recipe: str, batch: int) -> int:
    """The operations of the gradient penalty, forward and both backwards: the part of a step that stays in float32."""
    system, scene = _stage(recipe, batch)
    with FlopCounterMode(display=False) as counter:
        loss(system, PENALTY, scene).backward()
    return int(counter.get_total_flops())


def loss(system: Tcmgan, part: str, scene: Scene, bfloat16: bool = False, layout: str = "NCHW") -> Tensor:
    """The scalar whose way forward and back exercises one part with the loss that it is trained with."""
    system.bfloat16 = frozenset({part}) if bfloat16 else frozenset()
    system.channels_last = frozenset({part}) if layout == "channels-last" else frozenset()
    if part == GENERATOR:
        return losses.l1_sum(system.run(GENERATOR, with_planes(scene.source, scene.label)), scene.real)
    if part == SEGMENTER:
        return losses.dice_loss(system.run(SEGMENTER, with_planes(scene.real, scene.label)), scene.lesion)
    if part == DISCRIMINATOR:
        score, logits = system.run(DISCRIMINATOR, torch.cat([scene.real, scene.source], dim=1))
        return losses.critic_score(score) + losses.classification(logits, scene.label)

    def critic(x: Tensor) -> Tensor:
        pair = torch.cat([x, scene.source], dim=1).contiguous(memory_format=LAYOUTS[layout])
        score: Tensor = system.players[DISCRIMINATOR](pair)[0]
        return score

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        return losses.gradient_penalty(critic, scene.real, scene.real.flip(0), scene.mix)


def _stage(recipe: str, batch: int) -> tuple[Tcmgan, Scene]:
    made = prepared(recipe, batch)
    _, system = trainer(made)
    with phantom_slices(made.data) as slices:
        drawn = slices.batch(range(batch))
    return system, system.draw(drawn, Step("segmenter", (SEGMENTER,)), SampleRng(0, drawn.index, torch.device("cpu")))


def _measure(recipe: str, batch: int, rounds: int) -> tuple[dict[tuple[str, str, str], float], dict[str, float]]:
    """Median seconds by (part, precision, layout), every round through all of them; and the gradients' errors."""
    system, scene = _stage(recipe, batch)
    kinds = list(itertools.product(PARTS, BFLOAT16, LAYOUTS))
    times: dict[tuple[str, str, str], list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds + 1):
        for kind in kinds:
            times[kind].append(_seconds(system, scene, *kind))
    errors = {part: _error(system, scene, part) for part in PARTS}
    return {kind: statistics.median(values[1:]) for kind, values in times.items()}, errors


def _seconds(system: Tcmgan, scene: Scene, part: str, precision: str, layout: str) -> float:
    network = system.players[PARTS[part]]
    network.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    network.zero_grad()
    start = time.perf_counter()
    loss(system, part, scene, BFLOAT16[precision], layout).backward()
    return time.perf_counter() - start


def _error(system: Tcmgan, scene: Scene, part: str) -> float:
    """|bfloat16 - float32| / |float32| of the gradient of all weights."""
    network = system.players[PARTS[part]]
    exact, rough = (_gradient(network, loss(system, part, scene, bfloat16)) for bfloat16 in (False, True))
    return float((rough - exact).norm() / exact.norm())


def _gradient(network: nn.Module, value: Tensor) -> Tensor:
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    return torch.cat([g.flatten() for g in gradients if g is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="tcmgan")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="a tiny system, once: shows that it works")
    a = parser.parse_args()
    print(machine())
    with fresh(keeps_memory=True) as process:
        print(report(process, QUICK_RECIPE, 2, 1) if a.quick else report(process, a.recipe, a.batch, a.rounds))


if __name__ == "__main__":
    main()
