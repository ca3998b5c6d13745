import pytest
import torch
from torch import Tensor, nn

from polycontrast.nets.critic import StarCritic
from polycontrast.nets.layers import init_normal
from polycontrast.nets.segmenter import TumourSegmenter
from polycontrast.nets.skip_generator import SkipGenerator


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 96)])
def test_the_generator_keeps_any_size_that_is_a_multiple(size: tuple[int, int]) -> None:
    generator = SkipGenerator(4, 2, levels=5, base=2)
    assert generator.multiple == 32
    assert generator(noise(2, 4, *size)).shape == (2, 2, *size)


def test_networks_are_3d_by_one_argument() -> None:
    x = noise(1, 2, 32, 32, 32)
    assert SkipGenerator(2, 1, levels=3, base=2, dims=3)(x).shape == (1, 1, 32, 32, 32)
    assert TumourSegmenter(2, base=2, dims=3)(x).shape == (1, 1, 32, 32, 32)
    score, logits = StarCritic(2, 3, 32, levels=3, base=2, dims=3)(x)
    assert (score.shape, logits.shape) == ((1, 1, 4, 4, 4), (1, 3))


def test_the_generator_ends_in_tanh_or_linearly() -> None:
    torch.manual_seed(0)
    bounded, linear = SkipGenerator(1, 1, 3, 4), SkipGenerator(1, 1, 3, 4, tanh=False)
    linear.load_state_dict(bounded.state_dict())
    for network in (bounded, linear):
        nn.init.constant_(network.up[0][1].bias, 3.0)
    x = noise(1, 1, 16, 16)
    assert bounded(x).abs().max() < 1
    assert linear(x).max() > 1
    torch.testing.assert_close(torch.tanh(linear(x)), bounded(x))


def test_every_level_but_the_innermost_is_skipped_over_to_its_counterpart() -> None:
    torch.manual_seed(0)
    generator = SkipGenerator(1, 1, levels=4, base=2)
    contracted: dict[int, Tensor] = {}
    expanded_from: dict[int, Tensor] = {}
    for level in range(4):
        generator.down[level].register_forward_hook(lambda _m, _i, out, at=level: contracted.update({at: out}))
        generator.up[level].register_forward_pre_hook(lambda _m, i, at=level: expanded_from.update({at: i[0]}))
    generator(noise(2, 1, 32, 32))
    for level in range(3):
        width = contracted[level].shape[1]
        assert torch.equal(expanded_from[level][:, :width], contracted[level])
        assert expanded_from[level].shape[1] == 2 * width
    assert torch.equal(expanded_from[3], contracted[3])


def test_a_slice_is_generated_alike_in_training_and_evaluation_and_in_any_company() -> None:
    torch.manual_seed(0)
    generator = SkipGenerator(1, 1, levels=4, base=4)
    x = noise(3, 1, 16, 16)
    together = generator(x)
    torch.testing.assert_close(generator(x[:1]), together[:1])
    torch.testing.assert_close(generator.eval()(x), together)
    assert not list(generator.buffers())


def test_the_critics_heads_span_what_is_left_of_the_image() -> None:
    score, logits = StarCritic(2, 3, 64, levels=5, base=2)(noise(4, 2, 64, 64))
    assert score.shape == (4, 1, 2, 2)
    assert logits.shape == (4, 3)


def test_the_critic_judges_each_image_by_itself() -> None:
    """No norm: real and fake may share a pass, and the gradient penalty is each image's own (Gulrajani et al. 2017)."""
    torch.manual_seed(0)
    critic = StarCritic(1, 3, 32, base=2)
    x = noise(4, 1, 32, 32)
    for whole, alone in zip(critic(x), critic(x[2:3]), strict=True):
        torch.testing.assert_close(whole[2:3], alone)
    assert not any("Norm" in type(m).__name__ for m in critic.modules())


def test_the_segmenter_gives_a_probability_for_every_pixel() -> None:
    out = TumourSegmenter(4, base=2)(noise(2, 4, 48, 32))
    assert out.shape == (2, 1, 48, 32)
    assert out.min() > 0
    assert out.max() < 1


def test_the_segmenter_uses_batch_statistics_in_training_and_running_ones_in_evaluation() -> None:
    torch.manual_seed(0)
    segmenter = TumourSegmenter(1, base=2)
    x = noise(3, 1, 32, 32)
    assert not torch.allclose(segmenter(x)[:1], segmenter(x[:1]))
    segmenter.eval()
    torch.testing.assert_close(segmenter(x)[:1], segmenter(x[:1]))


def test_init_normal_draws_weights_and_clears_biases() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 64, 4), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 8, 4))
    init_normal(network, sd=0.02)
    first, norm, last = network
    for layer in (first, last):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert not layer.bias.any()
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert 0 < norm.weight.std().item() < 0.03
    assert not norm.bias.any()


def test_widths_double_until_eight_times_the_base() -> None:
    widths = [layer[-1 if i in (0, 4) else -2].out_channels for i, layer in enumerate(SkipGenerator(1, 1, 5, 2).down)]
    assert widths == [2, 4, 8, 16, 16]
    assert count(SkipGenerator(1, 1, 5, 4)) > 3 * count(SkipGenerator(1, 1, 5, 2))
