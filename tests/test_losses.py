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
