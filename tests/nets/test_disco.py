import pytest
import torch
from torch import Tensor, nn

from polycontrast.nets.disco import DiscoCritic, DiscoGenerator


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_published_widths_have_these_numbers_of_parameters() -> None:
    """Four 4x4 layers 3-64-128-256-512 without biases, batch norm after three; mirrored, or one score on top."""
    down = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    with torch.device("meta"):
        assert count(DiscoGenerator(3, 3)) == 2 * down + 2 * (128 + 256 + 512) + 2 * (256 + 128 + 64)
        assert count(DiscoCritic(3)) == down + 2 * (128 + 256 + 512) + 16 * 512


def test_no_layer_has_a_bias_but_the_norms() -> None:
    for network in (DiscoGenerator(1, 1, base=2), DiscoCritic(1, base=2)):
        assert all(m.bias is None for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd))


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (32, 48)])
def test_the_generator_keeps_any_size_that_is_a_multiple_of_16(size: tuple[int, int]) -> None:
    assert DiscoGenerator(3, 2, base=2)(noise(2, 3, *size)).shape == (2, 2, *size)


def test_the_image_shrinks_to_a_sixteenth_in_between() -> None:
    generator = DiscoGenerator(1, 1, base=2)
    assert generator.down(noise(1, 1, 64, 64)).shape == (1, 16, 4, 4)


def test_it_ends_in_the_papers_sigmoid_stretched_to_both_signs_or_linearly() -> None:
    bounded, linear = DiscoGenerator(1, 1, base=2), DiscoGenerator(1, 1, base=2, tanh=False)
    linear.load_state_dict(bounded.state_dict())
    x = 5 * noise(2, 1, 32, 32)
    torch.testing.assert_close(bounded(x), 2 * torch.sigmoid(linear(x)) - 1)


@pytest.mark.parametrize(("size", "scores"), [(64, 1), (80, 2), (128, 5), (256, 13)])
def test_the_critic_gives_one_score_at_64_pixels_and_a_map_above(size: int, scores: int) -> None:
    score, features = DiscoCritic(3, base=2)(noise(2, 3, size, size))
    assert score.shape == (2, 1, scores, scores)
    assert [f.shape for f in features] == [
        (2, 4, size // 4, size // 4),
        (2, 8, size // 8, size // 8),
        (2, 16, size // 16, size // 16),
    ]


def test_the_features_are_those_after_the_second_third_and_fourth_activation() -> None:
    critic = DiscoCritic(1, base=2)
    seen: list[Tensor] = []
    for layer in critic.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.register_forward_hook(lambda _m, _i, out: seen.append(out))
    _, features = critic(noise(2, 1, 64, 64))
    assert len(seen) == 4
    assert all(a is b for a, b in zip(seen[1:], features, strict=True))


def test_batch_norm_uses_the_batch_in_training_and_running_statistics_in_evaluation() -> None:
    torch.manual_seed(0)
    generator = DiscoGenerator(1, 1, base=2)
    x = noise(3, 1, 32, 32)
    assert not torch.allclose(generator(x)[:1], generator(x[:1]))
    generator.eval()
    torch.testing.assert_close(generator(x)[:1], generator(x[:1]))


def test_both_are_3d_by_one_argument() -> None:
    x = noise(2, 1, 64, 64, 64)
    assert DiscoGenerator(1, 1, base=1, dims=3)(x[..., :16, :16, :32]).shape == (2, 1, 16, 16, 32)
    assert DiscoCritic(1, base=1, dims=3)(x)[0].shape == (2, 1, 1, 1, 1)
