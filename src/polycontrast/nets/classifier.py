"""A small convolutional classifier of slices."""

import torch
from torch import Tensor, nn


class SliceClassifier(nn.Module):
    """x [B, 1, H, W] -> logits [B, classes]: four convolutions of stride 2 with batch norm, then mean and maximum of
    each feature over what is left.

    Evaluating, no layer looks at the other images of the batch. 99 thousand weights at the default width.
    """

    def __init__(self, classes: int, levels: int = 4, base: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for level in range(levels):
            width, kernel = base * 2**level, 3 if level else 5
            layers += [nn.Conv2d(inputs, width, kernel, 2, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(2 * inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x).flatten(2)
        logits: Tensor = self.head(torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1))
        return logits
