import pytest
import torch
from torch import Tensor, nn

from polycontrast.nets.critic import StarCritic
from polycontrast.nets.layers import OwnBatchNorm, init_normal
from polycontrast.nets.patch_critic import PatchCritic, smallest
from polycontrast.nets.segmenter import TumourSegmenter
from polycontrast.nets.skip_generator import SkipGenerator


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 96)])
def test_the_generator_keeps_any_size_that_is_a_multiple(size: tuple[int, int]) -> None:
    generator = SkipGenerator(4, 2, levels=5, base=2)
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


def without_norms(critic: PatchCritic) -> PatchCritic:
    """A norm's statistics tie every score to every pixel: what the convolutions see is seen without them."""
    for i, layer in enumerate(critic.layers):
        if "Norm" in type(layer).__name__:
            critic.layers[i] = nn.Identity()
    return critic.double()


@pytest.mark.parametrize(("levels", "field", "dims"), [(1, 16, 2), (2, 34, 2), (3, 70, 2), (1, 16, 3)])
def test_a_score_of_the_patch_critic_sees_its_field_of_pixels_and_no_other(levels: int, field: int, dims: int) -> None:
    torch.manual_seed(0)
    critic = without_norms(PatchCritic(1, levels, base=4, dims=dims))
    x = noise(1, 1, *[128 if dims == 2 else 24] * dims).double().requires_grad_(True)
    scores = critic(x)
    (slope,) = torch.autograd.grad(scores[(0, 0, *(n // 2 for n in scores.shape[2:]))], x)
    seen = slope.nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [1, 1, *[field] * dims]
    assert len(seen) == field**dims


def test_the_patch_critic_has_no_norm_at_its_ends_and_no_bias_before_a_batch_norm() -> None:
    critic = PatchCritic(6, base=4)
    assert critic(noise(1, 6, 256, 256)).shape == (1, 1, 30, 30)  # as many as published
    norms = [i for i, layer in enumerate(critic.layers) if isinstance(layer, OwnBatchNorm)]
    convolutions = {i: layer for i, layer in enumerate(critic.layers) if isinstance(layer, nn.Conv2d)}
    assert [layer.out_channels for layer in convolutions.values()] == [4, 8, 16, 32, 1]
    assert [layer.stride[0] for layer in convolutions.values()] == [2, 2, 2, 1, 1]
    assert {i + 1 for i in list(convolutions)[1:-1]} == set(norms)
    assert [layer.bias is None for layer in convolutions.values()] == [False, True, True, True, False]


@pytest.mark.parametrize("levels", [1, 3])
def test_the_smallest_image_gets_one_score_of_the_patch_critic_and_a_smaller_one_none(levels: int) -> None:
    edge, critic = smallest(levels), PatchCritic(1, levels, base=2)
    assert critic(noise(2, 1, edge, edge)).shape == (2, 1, 1, 1)
    with pytest.raises(RuntimeError):
        critic(noise(2, 1, edge - 1, edge - 1))


def test_the_patch_critic_by_instances_judges_each_image_by_itself() -> None:
    torch.manual_seed(0)
    x = noise(3, 2, 32, 32)
    by_instance, by_batch = PatchCritic(2, base=2, norm="instance"), PatchCritic(2, base=2)
    torch.testing.assert_close(by_instance(x)[:1], by_instance(x[:1]))
    assert not torch.allclose(by_batch(x)[:1], by_batch(x[:1]))


def test_the_generator_with_batch_norm_mixes_a_batch_in_training_alone() -> None:
    torch.manual_seed(0)
    generator = SkipGenerator(1, 1, levels=4, base=4, norm="batch")
    x = noise(3, 1, 16, 16)
    assert not torch.allclose(generator(x)[:1], generator(x[:1]))
    generator.eval()
    torch.testing.assert_close(generator(x)[:1], generator(x[:1]))


def test_the_generators_convolutions_have_no_bias_before_a_batch_norm() -> None:
    generator = SkipGenerator(1, 1, levels=4, base=2, norm="batch")
    biased = [name for name, _ in generator.named_parameters() if name.endswith("bias")]
    norms = [name for name, module in generator.named_modules() if isinstance(module, OwnBatchNorm)]
    assert set(biased) == {"up.0.1.bias", *(f"{name}.bias" for name in norms)}
    assert len(norms) == 2 + 3  # not the first, not the innermost; all expansions but the last


def test_dropout_is_between_the_widest_levels_and_in_training_alone() -> None:
    torch.manual_seed(0)
    generator = SkipGenerator(1, 1, levels=7, base=2, dropout=True)
    dropped = {i: m.p for i, up in enumerate(generator.up) for m in up if isinstance(m, nn.Dropout)}
    assert dropped == {4: 0.5, 5: 0.5}
    x = noise(1, 1, 128, 128)
    assert not torch.equal(generator(x), generator(x))
    generator.eval()
    assert torch.equal(generator(x), generator(x))
    assert not any(isinstance(m, nn.Dropout) for m in SkipGenerator(1, 1, levels=7, base=2).modules())


@pytest.mark.parametrize("edges", [(6, 5), (6, 5, 4)])
def test_own_batch_norm_is_the_librarys_in_training(edges: tuple[int, ...]) -> None:
    own = OwnBatchNorm(3)
    library = (nn.BatchNorm2d if len(edges) == 2 else nn.BatchNorm3d)(3)
    init_normal(own)
    library.load_state_dict(own.state_dict())
    for seed in range(2):
        x = noise(4, 3, *edges, seed=seed)
        assert torch.equal(own(x), library(x))
    for (name, a), (other, b) in zip(own.state_dict().items(), library.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b)


@pytest.mark.parametrize("edges", [(6, 5), (6, 5, 4)])
def test_own_batch_norm_evaluates_every_image_by_itself(edges: tuple[int, ...]) -> None:
    own = OwnBatchNorm(3)
    with torch.no_grad():
        own.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        own.bias.copy_(torch.tensor([0.0, 1.0, 5.0]))
    own(100 + noise(4, 3, *edges, seed=1))  # running statistics that would be far off
    own.eval()
    x = noise(4, 3, *edges)
    together = own(x)
    torch.testing.assert_close(own(x[1:2]), together[1:2])
    torch.testing.assert_close(own(3 * x + 7), together, atol=1e-3, rtol=1e-3)  # of any gain and offset
    torch.testing.assert_close(together.flatten(2).mean(2), own.bias.expand(4, 3), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.train()(x[:1]), together[:1])  # a batch of one: as in training


def test_own_batch_norm_refuses_what_is_no_image() -> None:
    with pytest.raises(ValueError, match="size"):
        OwnBatchNorm(3)(noise(4, 3))
