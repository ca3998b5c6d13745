import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polycontrast.nets.scale_critic import ScaleCritic, smallest


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_three_scales_are_scored_each_half_the_last() -> None:
    scores = ScaleCritic(2, levels=2, base=2)(noise(3, 2, 64, 32))
    assert [tuple(s.shape) for s in scores] == [(3, 1, 16, 8), (3, 1, 8, 4), (3, 1, 4, 2)]
    scores = ScaleCritic(1, levels=1, scales=2, base=2, dims=3)(noise(1, 1, 8, 8, 16))
    assert [tuple(s.shape) for s in scores] == [(1, 1, 4, 4, 8), (1, 1, 2, 2, 4)]


def test_every_scale_has_its_own_network_and_sees_the_image_halved_again() -> None:
    torch.manual_seed(0)
    critic, x = ScaleCritic(1, levels=2, base=2), noise(1, 1, 32, 32)
    halved = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    quartered = F.avg_pool2d(halved, 3, 2, 1, count_include_pad=False)
    for judge, seen, score in zip(critic.scales, (x, halved, quartered), critic(x), strict=True):
        assert torch.equal(judge(seen), score)
    assert len({id(p) for p in critic.parameters()}) == 3 * len(list(critic.scales[0].parameters()))


def test_halving_does_not_count_what_lies_beyond_the_edge() -> None:
    """An even image stays even up to its corners."""
    assert torch.equal(ScaleCritic(1, levels=1, base=1).halve(torch.ones(1, 1, 8, 8)), torch.ones(1, 1, 4, 4))


def test_the_published_size_has_the_parameters_that_its_layers_add_up_to() -> None:
    with torch.device("meta"):
        critic = ScaleCritic(3)
    levels = [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert sum(p.numel() for p in critic.parameters()) == 3 * (sum(16 * i * o + o for i, o in levels) + 512 + 1)


@pytest.mark.parametrize(("levels", "scales"), [(4, 3), (2, 3), (3, 1)])
def test_the_smallest_image_is_scored_and_a_smaller_one_is_not(levels: int, scales: int) -> None:
    edge, critic = smallest(levels, scales), ScaleCritic(1, levels, scales, base=1)
    assert critic(noise(1, 1, edge, edge))[-1].numel() == 1
    with pytest.raises(RuntimeError):
        critic(noise(1, 1, edge // 2, edge // 2))


def test_each_image_is_judged_by_itself() -> None:
    """No norm: real and fake may share a pass."""
    torch.manual_seed(0)
    critic, x = ScaleCritic(1, levels=2, base=2), noise(4, 1, 32, 32)
    for whole, alone in zip(critic(x), critic(x[2:3]), strict=True):
        torch.testing.assert_close(whole[2:3], alone)
    assert not any("Norm" in type(m).__name__ for m in critic.modules())


def test_weights_begin_small_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    convolutions = [m for m in ScaleCritic(1).modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not any(m.bias.any() for m in convolutions if m.bias is not None)
