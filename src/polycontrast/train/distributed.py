"""Ranks of `torchrun`: start, share of a batch, explicit gradient all-reduce. One process needs none of it.

Networks are not wrapped: gradients are averaged after each player's backward, which works for any number of players.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from polycontrast.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """This process among all: its rank and their number."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0


def start(device: torch.device) -> Ranks:
    """Join the group that torchrun's environment describes; a single process where there is none."""
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return Ranks()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(dist.get_rank(), dist.get_world_size())


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def finish() -> None:
    """Leave the group when all is done, and end this process here, with success; nothing where there is no group.

    On its way out the interpreter of a rank is now and then (one in sixty, torch 2.13) aborted by a thread of gloo, and
    torchrun would then call a finished training failed.
    """
    if not dist.is_initialized():
        return
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def check_share(batch: int, ranks: Ranks) -> None:
    """UserError unless every rank gets the same share of a batch."""
    if batch % ranks.world:
        raise UserError(f"a batch of {batch} cannot be shared by {ranks.world} ranks", hint="choose a multiple")


def average(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The mean of a tensor over the ranks, in place."""
    if ranks.world > 1:
        dist.all_reduce(tensor)
        tensor /= ranks.world
    return tensor


def average_gradients(network: nn.Module, ranks: Ranks) -> None:
    """Replace each gradient by its mean over the ranks, in one all-reduce."""
    if ranks.world == 1:
        return
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    flat = average(torch.cat([g.reshape(-1) for g in grads]), ranks)
    for grad, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def copy_from_first(networks: Iterable[nn.Module], ranks: Ranks) -> None:
    """Give every rank the first one's weights and buffers."""
    if ranks.world > 1:
        for network in networks:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)


def barrier(ranks: Ranks) -> None:
    """Wait until every rank is here."""
    if ranks.world > 1:
        dist.barrier()
