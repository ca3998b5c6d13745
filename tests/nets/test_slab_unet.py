import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from polycontrast import recipes, systems
from polycontrast.nets.slab_unet import ScaledBlock, SlabUnet
from polycontrast.nets.winograd import WinogradConv

REACH = 32  # pixels that a voxel of the network below sees, at most


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def network(inputs: int = 3, outputs: int = 2) -> SlabUnet:
    torch.manual_seed(0)
    return SlabUnet(inputs, outputs, (6, 8), (1, 1))


@pytest.mark.parametrize("size", [(16, 16), (8, 24), (40, 12), (4, 4)])
def test_it_keeps_any_size_that_is_a_multiple_of_what_it_halves(size: tuple[int, int]) -> None:
    assert network()(noise(2, 3, *size)).shape == (2, 2, *size)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_every_level_halves_once_more(levels: int) -> None:
    deep, multiple = SlabUnet(1, 1, [4] * levels, [1] * levels), 2**levels
    assert deep(noise(1, 1, multiple, 3 * multiple)).shape == (1, 1, multiple, 3 * multiple)
    with pytest.raises(RuntimeError):
        deep(noise(1, 1, multiple + multiple // 2, multiple))


def test_every_weight_has_a_part_in_what_comes_out() -> None:
    made = network()
    made(noise(1, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_there_is_no_norm_and_no_dropout() -> None:
    kinds = {type(m) for m in network().modules()}
    assert kinds == {SlabUnet, nn.ModuleList, nn.Sequential, ScaledBlock, nn.Conv2d, WinogradConv}


def test_what_lies_far_away_and_how_large_the_image_is_do_not_matter() -> None:
    """So that at synthesis no more than the brain has to be computed."""
    made, x = network().double(), noise(1, 3, 96, 104).double()
    whole, part = made(x), made(x[..., 12:84, 8:100])  # cut at multiples of what is halved
    inner = (slice(12 + REACH, 84 - REACH), slice(8 + REACH, 100 - REACH))
    within = (slice(REACH, 72 - REACH), slice(REACH, 92 - REACH))
    torch.testing.assert_close(part[..., *within], whole[..., *inner], rtol=0, atol=1e-12)
    assert not torch.allclose(part[..., :4, :4], whole[..., 12:16, 8:12])


def test_an_image_is_made_alike_in_any_company() -> None:
    made, x = network(), noise(3, 3, 16, 24)
    torch.testing.assert_close(made(x[1:2]), made(x)[1:2])
    torch.testing.assert_close(made.eval()(x), made.train()(x))


def test_under_bfloat16_it_ends_in_float32_near_the_exact_values() -> None:
    made, x = network(), noise(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = made(x)
    exact = made(x)
    assert rounded.dtype == exact.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05 * exact.std().item())
    assert len(rounded.unique()) > 0.9 * rounded.numel()  # bfloat16 has three digits: values would coincide


def test_it_is_as_exact_as_its_weights() -> None:
    assert network().double()(noise(1, 3, 8, 8).double()).dtype == torch.float64


def test_channels_last_changes_the_layout_and_not_the_values() -> None:
    made, x = network().double(), noise(2, 3, 16, 24).double()
    plain = made(x)
    swapped = made.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(swapped, plain)


def test_a_deep_network_starts_with_values_of_the_order_of_its_input() -> None:
    torch.manual_seed(0)
    deep = SlabUnet(4, 4, (16, 16, 16, 16), (3, 3, 3, 3))
    assert 0.1 < deep(noise(2, 4, 32, 32)).std() < 10  # without norms, twelve blocks could make it thousands


def test_the_generator_of_the_recipe_fits_in_twelve_megabytes_of_half_precision() -> None:
    recipe = recipes.recipe("any2any")
    with torch.device("meta"):
        generator = systems.build(recipe.system, recipe.data).players["generator"]
    assert sum(p.numel() for p in generator.parameters()) < 6.0e6 - 10_000  # less a header


@pytest.mark.parametrize("absent", [[0], [1, 2]])
@pytest.mark.parametrize("images", [1, 2])  # one alone goes to NNPACK
def test_a_channel_of_zeros_is_left_out_without_another_result(absent: list[int], images: int) -> None:
    made, x = network(), noise(images, 3, 16, 24)
    x[:, absent] = 0
    with torch.no_grad():
        quick = made(x)
    torch.testing.assert_close(quick, made(x), rtol=0, atol=1e-4)  # with gradients, nothing is left out


def test_of_nothing_but_zeros_something_is_made_as_before() -> None:
    made, x = network(), torch.zeros(1, 3, 16, 24)
    with torch.no_grad():
        quick = made(x)
    torch.testing.assert_close(quick, made(x), rtol=0, atol=1e-4)


@torch.no_grad()
def test_under_bfloat16_nothing_is_left_out_and_the_layout_stays() -> None:
    made, x = network().to(memory_format=torch.channels_last), noise(2, 3, 16, 24)
    x[:, 1:] = 0
    layouts = []
    for layer in (made.stem, made.head):
        layer.register_forward_hook(
            lambda *call: layouts.append(call[2].is_contiguous(memory_format=torch.channels_last))
        )
    with torch.autocast("cpu", torch.bfloat16):
        made(x.contiguous(memory_format=torch.channels_last))
    assert layouts == [True, True]


@torch.no_grad()
def test_a_channel_of_zeros_costs_nothing_where_no_gradient_is_asked_for() -> None:
    made, x = network(), noise(2, 3, 16, 24)
    counts = []
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            made(x)
        counts.append(counter.get_total_flops())
        x[:, 1:] = 0
    stem, head = 2 * 9 * (4 * 2) * 6 * 8 * 12, 2 * 9 * 2 * 32 * 16 * 24  # of two channels, in each image
    assert counts[0] - counts[1] == 2 * (stem + head)
