import math

import pytest
import torch
from torch import Tensor

from polycontrast import losses


def test_critic_score_sums_a_map_and_averages_images() -> None:
    score = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, -1.0], [0.0, 0.0]]]])
    assert losses.critic_score(score).item() == pytest.approx((10 - 1) / 2)


def test_l1_sums_pixels_and_averages_images() -> None:
    image = torch.tensor([[[[1.0, -2.0]]], [[[0.5, 0.0]]]])
    assert losses.l1_sum(image, torch.zeros_like(image)).item() == pytest.approx((3 + 0.5) / 2)


def test_classification_sums_classes_and_averages_images() -> None:
    logits = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 0.0]])
    label = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    first = math.log(2) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(-1))
    second = math.log(1 + math.exp(-1)) + 2 * math.log(2)
    assert losses.classification(logits, label).item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_classification_takes_a_label_of_booleans() -> None:
    assert losses.classification(torch.zeros(1, 2), torch.tensor([[True, False]])).item() == pytest.approx(
        2 * math.log(2)
    )


def test_dice_loss_by_hand() -> None:
    probability = torch.tensor([[[[0.5, 1.0], [0.0, 0.25]]]])
    truth = torch.tensor([[[[True, True], [False, False]]]])
    overlap = (2 * 1.5 + 1) / (1.75 + 2 + 1)
    assert losses.dice_loss(probability, truth).item() == pytest.approx(1 - overlap)


def test_dice_loss_is_the_mean_of_each_images_own() -> None:
    probability, truth = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    probability[0], truth[0] = 1, 1  # perfect: 0
    truth[1] = 1  # missed altogether: 1 - 1 / (0 + 4 + 1)
    assert losses.dice_loss(probability, truth).item() == pytest.approx((0 + 0.8) / 2)


def test_an_empty_truth_predicted_empty_loses_nothing() -> None:
    assert losses.dice_loss(torch.zeros(3, 1, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.bool)).item() == 0


def test_an_empty_truth_predicted_full_loses_nearly_all() -> None:
    assert losses.dice_loss(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == pytest.approx(1 - 1 / 17)


@pytest.mark.parametrize("length", [1.0, 3.0, 0.25])
def test_the_penalty_of_a_linear_critic_is_its_slopes(length: float) -> None:
    numbers = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 2, 3, 3, generator=numbers, dtype=torch.float64)
    weight = (length * weight / weight.norm()).requires_grad_(True)
    real, fake = torch.randn(2, 4, 2, 3, 3, generator=numbers, dtype=torch.float64)

    def critic(x: Tensor) -> Tensor:
        return (weight * x).flatten(1).sum(1)

    penalty = losses.gradient_penalty(critic, real, fake, torch.rand(4, generator=numbers, dtype=torch.float64))
    (slope,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == pytest.approx((length - 1) ** 2, abs=1e-12)
    torch.testing.assert_close(slope, 2 * (length - 1) * weight.detach() / length)


def test_the_penalty_is_taken_between_real_and_fake() -> None:
    """The critic |x|^2 / 2 has the slope x: the penalty tells where it was taken."""
    real, fake = torch.full((3, 1, 1, 1), 5.0), torch.full((3, 1, 1, 1), 1.0)

    def critic(x: Tensor) -> Tensor:
        return (x**2 / 2).flatten(1).sum(1)

    mix = torch.tensor([1.0, 0.75, 0.5])
    points = torch.tensor([5.0, 4.0, 3.0])
    expected = ((points - 1) ** 2).mean()
    assert losses.gradient_penalty(critic, real, fake, mix).item() == pytest.approx(expected.item())


def test_the_penalty_sends_no_gradient_to_the_images() -> None:
    real = torch.zeros(1, 1, 2, 2, requires_grad=True)
    weight = torch.ones(1, requires_grad=True)
    losses.gradient_penalty(lambda x: weight * x.sum(), real, real + 1, torch.tensor([0.5])).backward()
    assert real.grad is None
    assert weight.grad is not None


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """mean, log scale, truth and weights [2, 3, 8, 9], some weights 0."""
    weight = normal(2, 3, 8, 9, seed=3).clamp(min=0)
    return normal(2, 3, 8, 9), 0.5 * normal(2, 3, 8, 9, seed=1), normal(2, 3, 8, 9, seed=2), weight


def test_a_weighted_mean_counts_each_value_by_its_weight() -> None:
    values, weight = torch.tensor([1.0, 5.0, 100.0]), torch.tensor([3.0, 1.0, 0.0])
    assert losses.weighted(values, weight).item() == pytest.approx(2.0)


def test_without_any_weight_a_mean_is_zero_and_so_is_its_gradient() -> None:
    values = torch.ones(3, requires_grad=True)
    mean = losses.weighted(values, torch.zeros(3))
    mean.backward()
    assert mean.item() == 0
    assert values.grad is not None
    assert not values.grad.any()


def test_laplace_at_beta_zero_is_the_negative_log_of_the_density() -> None:
    mean, log_scale, truth, weight = drawn()
    density = torch.distributions.Laplace(mean, log_scale.exp()).log_prob(truth)
    expected = -(density * weight).sum() / weight.sum()
    torch.testing.assert_close(losses.laplace(mean, log_scale, truth, weight), expected)


def test_laplace_at_beta_one_teaches_the_mean_as_l1_does() -> None:
    mean, log_scale, truth, weight = drawn()
    mean.requires_grad_(True)
    (found,) = torch.autograd.grad(losses.laplace(mean, log_scale, truth, weight, 1.0), mean)
    (expected,) = torch.autograd.grad(losses.weighted((mean - truth).abs(), weight), mean)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_laplace_teaches_the_scale_to_be_the_mean_absolute_error(beta: float) -> None:
    """There its gradient is zero, at any beta: what the mean forgoes, the scale does not."""
    truth = normal(1000)
    error = truth.abs().mean()
    for factor, sign in ((0.8, -1), (1.0, 0), (1.25, 1)):
        log_scale = (error * factor).log().requires_grad_(True)
        value = losses.laplace(torch.zeros(1000), log_scale, truth, torch.ones(1000), beta)
        (slope,) = torch.autograd.grad(value, log_scale)
        assert slope.item() == pytest.approx(0, abs=1e-6) if not sign else slope.sign().item() == sign


def test_laplace_does_not_see_what_has_no_weight() -> None:
    mean, log_scale, truth, weight = drawn()
    other = torch.where(weight > 0, truth, 100.0)
    assert torch.equal(*(losses.laplace(mean, log_scale, t, weight, 0.5) for t in (truth, other)))


def test_ssim_loss_of_equal_images_is_zero_and_of_others_is_not() -> None:
    image, _, other, _ = drawn()
    weight = torch.ones_like(image)
    assert losses.ssim_loss(image, image, weight).item() == pytest.approx(0, abs=1e-12)
    assert losses.ssim_loss(image, other, weight).item() > 0.5
    assert losses.ssim_loss(image, image + 1, weight).item() > 0.01


@pytest.mark.parametrize("span", [1.0, 2.0])
def test_ssim_loss_is_the_equation_window_by_window(span: float) -> None:
    """Windows are cut off at the edges, and variances are those of the window as a population."""
    x, _, y, weight = drawn()
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    total = 0.0
    for b, c, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        window = (b, c, slice(max(0, i - 2), i + 3), slice(max(0, j - 2), j + 3))
        p, q = x[window], y[window]
        cov = ((p - p.mean()) * (q - q.mean())).mean()
        top = (2 * p.mean() * q.mean() + c1) * (2 * cov + c2)
        bottom = (p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var(correction=0) + q.var(correction=0) + c2)
        total += (weight[b, c, i, j] * (1 - top / bottom)).item()
    found = losses.ssim_loss(x, y, weight, window=5, span=span)
    assert found.item() == pytest.approx(total / weight.sum().item(), rel=1e-9)


def test_ssim_loss_keeps_its_digits_far_from_zero() -> None:
    """A variance as a difference of large squares would have none left in float32."""
    x, _, y, weight = (t + 300 for t in drawn())
    exact = losses.ssim_loss(x, y, weight)
    assert losses.ssim_loss(x.float(), y.float(), weight.float()).item() == pytest.approx(exact.item(), rel=1e-3)


def test_the_relativistic_loss_falls_as_the_scores_of_higher_fall_below_those_of_lower() -> None:
    """By hand: maps of two sizes weigh alike."""
    lower, higher = [torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0]])], [torch.tensor([[0.0, 3.0]]), torch.zeros(1, 1)]
    expected = ((math.log(2) + math.log1p(math.exp(2))) / 2 + math.log1p(math.exp(-2))) / 2
    assert losses.relativistic(lower, higher).item() == pytest.approx(expected, rel=1e-6)
    raised = [s + 1 for s in lower]
    assert losses.relativistic(raised, higher) < losses.relativistic(lower, higher)
    assert losses.relativistic([s + 5 for s in lower], [s + 5 for s in higher]).item() == pytest.approx(expected)


def test_the_zero_centred_penalty_of_a_linear_critic_is_the_square_of_its_slopes() -> None:
    """One score an image: E|w|^2, here of two maps whose penalties are averaged; its own gradient is 2 w / 2."""
    weights = [normal(1, 2, 3, 3, seed=s).requires_grad_(True) for s in range(2)]
    images = normal(4, 2, 3, 3, seed=5)
    penalty = losses.zero_centred_penalty(lambda x: [(w * x).flatten(1).sum(1) for w in weights], images)
    assert penalty.item() == pytest.approx(sum(w.square().sum().item() for w in weights) / 2)
    for weight, slope in zip(weights, torch.autograd.grad(penalty, weights), strict=True):
        torch.testing.assert_close(slope, weight.detach())


def test_the_zero_centred_penalty_counts_a_patch_as_an_image() -> None:
    """Scores w x of every pixel by itself: each has the slope w, however many there are."""
    weight = torch.tensor(3.0, requires_grad=True)
    for size in (1, 4):
        penalty = losses.zero_centred_penalty(lambda x: [weight * x], torch.ones(2, 1, size, size))
        assert penalty.item() == pytest.approx(9.0)
        assert torch.autograd.grad(penalty, weight)[0].item() == pytest.approx(6.0)


def test_the_zero_centred_penalty_sends_no_gradient_to_the_images() -> None:
    images = torch.ones(1, 1, 2, 2, requires_grad=True)
    weight = torch.ones(1, requires_grad=True)
    losses.zero_centred_penalty(lambda x: [weight * x**2], images).backward()
    assert images.grad is None
    assert weight.grad is not None
