"""Which numbers a device computes with."""

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers itself; one that only imitates it is ten times slower or more."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
