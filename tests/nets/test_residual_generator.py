from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from polycontrast.nets.residual_generator import ResidualGenerator

Style = Literal["cyclegan", "stargan"]
STYLES: tuple[Style, ...] = ("cyclegan", "stargan")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def test_it_has_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        assert millions(ResidualGenerator(3, 3, 9)) == 11.378  # resnet_9blocks
        assert millions(ResidualGenerator(3, 3, 6)) == 7.838  # resnet_6blocks
        assert millions(ResidualGenerator(3 + 8, 3, 6, style="stargan")) == 8.440  # told one of eight expressions


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [(16, 16), (20, 32), (12, 28)])
def test_it_keeps_any_size_that_is_a_multiple_of_four(style: Style, size: tuple[int, int]) -> None:
    assert ResidualGenerator(2, 3, 2, 2, style=style)(noise(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("style", STYLES)
def test_it_is_3d_by_one_argument(style: Style) -> None:
    assert ResidualGenerator(1, 1, 1, 2, dims=3, style=style)(noise(1, 1, 8, 12, 16)).shape == (1, 1, 8, 12, 16)


@pytest.mark.parametrize(("style", "vanishes"), [("cyclegan", True), ("stargan", False)])
def test_a_constant_plane_vanishes_under_the_norm_unless_its_edges_are_padded_with_zeros(
    style: Style, vanishes: bool
) -> None:
    """Why StarGAN pads with zeros: of a reflected constant, instance norm leaves nothing to tell labels apart."""
    torch.manual_seed(0)
    generator = ResidualGenerator(2, 1, 2, 4, style=style).double()
    image = noise(1, 1, 16, 16).double()
    out = [generator(torch.cat([image, torch.full_like(image, label)], 1)) for label in (0.0, 1.0)]
    assert torch.allclose(*out, atol=1e-9) == vanishes


@pytest.mark.parametrize(
    ("style", "edge", "affine", "bias"), [("cyclegan", 3, False, True), ("stargan", 4, True, False)]
)
def test_a_style_is_its_kernels_norms_and_biases(style: Style, edge: int, affine: bool, bias: bool) -> None:
    modules = list(ResidualGenerator(3, 3, 2, 4, style=style).modules())
    convolutions = [m for m in modules if isinstance(m, nn.modules.conv._ConvNd)]
    assert [m.kernel_size[0] for m in convolutions] == [7, edge, edge, 3, 3, 3, 3, edge, edge, 7]
    assert [m.out_channels for m in convolutions] == [4, 8, 16, 16, 16, 16, 16, 8, 4, 3]
    assert {m.bias is not None for m in convolutions} == {bias}
    norms = [m for m in modules if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == len(convolutions) - 1
    assert {m.affine for m in norms} == {affine}


@pytest.mark.parametrize("style", STYLES)
def test_an_image_is_generated_alike_in_training_and_evaluation_and_in_any_company(style: Style) -> None:
    torch.manual_seed(0)
    generator = ResidualGenerator(1, 1, 2, 4, style=style)
    x = noise(3, 1, 16, 16)
    together = generator(x)
    torch.testing.assert_close(generator(x[:1]), together[:1])
    torch.testing.assert_close(generator.eval()(x), together)


def test_it_ends_in_tanh_or_linearly() -> None:
    torch.manual_seed(0)
    bounded, linear = ResidualGenerator(1, 1, 1, 4), ResidualGenerator(1, 1, 1, 4, tanh=False)
    linear.load_state_dict(bounded.state_dict())
    x = noise(1, 1, 16, 16)
    torch.testing.assert_close(torch.tanh(linear(x)), bounded(x))


def test_only_cyclegans_weights_are_drawn_from_the_normal_distribution_of_sd_002() -> None:
    torch.manual_seed(0)
    deviations = {}
    for style in STYLES:
        block = ResidualGenerator(1, 1, 1, 16, style=style).layers[9].layers[0]
        deviations[style] = block.weight.std().item()
    assert deviations["cyclegan"] == pytest.approx(0.02, rel=0.05)
    assert deviations["stargan"] == pytest.approx((3 * 64 * 9) ** -0.5, rel=0.05)  # the library's uniform
