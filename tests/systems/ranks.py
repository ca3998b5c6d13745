"""Scripts of the tests as the ranks of a group, and how far their gradients are apart."""

import socket
import subprocess
from pathlib import Path

import torch

from .. import tiny


def surroundings(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun sets."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in values.items()}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def on_two_ranks(script: Path, *arguments: object) -> list[subprocess.Popen[str]]:
    port = free_port()
    return [tiny.start(script, *arguments, env=surroundings(rank, 2, port)) for rank in range(2)]


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], player: str) -> float:
    """|a - b| / |b| of a player's tensors taken together."""
    first, second = (torch.cat([v.flatten() for k, v in x.items() if k.startswith(player)]) for x in (a, b))
    assert first.dtype == torch.float64
    return float((first - second).norm() / second.norm())
