"""A pool of past fakes, which keeps a discriminator from forgetting (Shrivastava et al. 2017, section 2.3)."""

import torch
from torch import Tensor

from polycontrast.systems.base import SampleRng


class ImagePool:
    """Up to `size` past images, without their graphs; none if 0.

    What it does with an image derives from that image's sample alone, so a resume that restores `images` is exact.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def swap(self, fresh: Tensor, rng: SampleRng) -> Tensor:
        """fresh [B, ...] -> as many images for the discriminator, detached, in the order of the batch.

        Until the pool is full it keeps every image and returns it. Then, with probability 1/2, an old image is returned
        and the new one takes its place; otherwise the new one is returned and not kept.
        """
        fresh = fresh.detach()
        if not self.size:
            return fresh
        chances, places = rng.uniform().tolist(), rng.integers(self.size).tolist()
        return torch.stack([self._one(*drawn) for drawn in zip(fresh, chances, places, strict=True)])

    def _one(self, image: Tensor, chance: float, place: int) -> Tensor:
        # Clones, lest a kept image hold (and a checkpoint write) the memory of its whole batch.
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if chance < 0.5:
            return image
        old, self.images[place] = self.images[place], image.clone()
        return old
