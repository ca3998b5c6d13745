"""What is given may look as on another scanner: each part does what it says, to each contrast by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from polycontrast.data import appearance, intensity
from polycontrast.data.appearance import Appearance

NOTHING = Appearance(0, 0, 0, 0, 0, 0, 0, 0)
CURVE, NOISE, BLUR, THICK, FIELD = slice(2, 4), 4, 5, 6, slice(7, None)


def slab(contrasts: int = 2, depth: int = 3, size: int = 24) -> tuple[Tensor, Tensor]:
    """images [2, C, K, size, size + 4] that are 0 outside the mask, and the mask."""
    mask = torch.zeros(2, 1, depth, size, size + 4, dtype=torch.bool)
    mask[..., 4:-4, 4:-6] = True
    numbers = torch.randn(2, contrasts, depth, size, size + 4, generator=torch.Generator().manual_seed(0))
    return (intensity.MEAN + intensity.SD * numbers) * mask, mask


def noise(like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(1))


def still(contrasts: int = 2, samples: int = 2) -> list[np.ndarray]:
    """Parameters that change nothing."""
    return [appearance.sample(NOTHING, contrasts, np.random.default_rng(0)) for _ in range(samples)]


def changed(images: Tensor, mask: Tensor, part: slice | int, value: float) -> Tensor:
    """The images with one parameter of every contrast at this value."""
    parameters = still(images.shape[1])
    for one in parameters:
        one[:, part] = value
    return appearance.apply(parameters, images, mask, noise(images))


def test_no_strength_is_the_identity() -> None:
    images, mask = slab()
    torch.testing.assert_close(appearance.apply(still(), images, mask, noise(images)), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_slab_of_any_depth_keeps_its_shape_and_its_empty_background(depth: int) -> None:
    images, mask = slab(3, depth)
    strong = Appearance(0.3, 0.3, 0.3, 0.3, 0.5, 1.2, 1.0, 1.0)
    parameters = [appearance.sample(strong, 3, np.random.default_rng(i)) for i in range(2)]
    made = appearance.apply(parameters, images, mask, noise(images))
    assert made.shape == images.shape
    assert made.isfinite().all()
    assert not made[~mask.expand_as(made)].any()
    assert not torch.isclose(made, images, atol=1e-3)[mask.expand_as(made)].all()


def test_the_same_stream_draws_the_same_and_it_can_be_replayed() -> None:
    images, mask = slab()
    first, again, other = (
        [appearance.sample(Appearance(), 2, np.random.default_rng(seed + i)) for i in range(2)] for seed in (0, 0, 5)
    )
    made = [appearance.apply(p, images, mask, noise(images)) for p in (first, again, other)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_a_strength_changes_no_other_draw() -> None:
    """So that what a recipe draws is the same however strong one part of it is."""
    stream = np.random.default_rng(0)
    usual = appearance.sample(Appearance(), 3, stream)
    left = stream.random()
    stream = np.random.default_rng(0)
    other = appearance.sample(replace(Appearance(), gain=0.0, blurred=1.0), 3, stream)
    assert stream.random() == left
    np.testing.assert_array_equal(other[:, [1, 2, 3, 4, *range(6, 23)]], usual[:, [1, 2, 3, 4, *range(6, 23)]])


def test_each_contrast_and_each_sample_varies_by_itself() -> None:
    images, mask = slab(1)
    images = images[:1].expand(2, 3, -1, -1, -1)
    parameters = [appearance.sample(Appearance(noise=0), 3, np.random.default_rng(i)) for i in range(2)]
    made = appearance.apply(parameters, images, mask, torch.zeros_like(images)).flatten(0, 1)
    assert all(not torch.allclose(made[i], made[j], atol=1e-3) for i in range(6) for j in range(i))
    alone = still(3)
    alone[0][1] = parameters[0][1]
    only = appearance.apply(alone, images, mask, torch.zeros_like(images))
    torch.testing.assert_close(only[0, [0, 2]], images[0, [0, 2]], atol=1e-6, rtol=0)
    torch.testing.assert_close(only[1], images[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(only[0, 1], made[1])


@pytest.mark.parametrize(("second", "third"), [(0.2, 0.0), (0.0, 0.2), (-0.15, 0.1)])
def test_a_tone_curve_keeps_mean_and_sd_of_what_is_normally_distributed(second: float, third: float) -> None:
    everywhere = torch.ones(1, 1, 1, 1000, 1000, dtype=torch.bool)
    images = intensity.MEAN + intensity.SD * noise(everywhere)
    parameters = still(1, 1)
    parameters[0][0, CURVE] = second, third
    made = appearance.apply(parameters, images, everywhere, torch.zeros_like(images))
    assert made.mean().item() == pytest.approx(intensity.MEAN, abs=0.003)
    assert made.std().item() == pytest.approx(intensity.SD, rel=0.02)
    assert not torch.allclose(made, images, atol=0.02)


def test_gain_and_offset_stretch_and_shift_by_sds_of_the_brain() -> None:
    images, mask = slab()
    inside = mask.expand_as(images)
    expected = intensity.MEAN + 1.5 * (images - intensity.MEAN)
    torch.testing.assert_close(changed(images, mask, 0, 1.5)[inside], expected[inside])
    torch.testing.assert_close(changed(images, mask, 1, 0.5)[inside], (images + 0.5 * intensity.SD)[inside])


def test_noise_has_the_sd_asked() -> None:
    images, mask = slab(size=64)
    added = (changed(images, mask, NOISE, 0.2) - images)[mask.expand_as(images)]
    assert added.std().item() == pytest.approx(0.2 * intensity.SD, rel=0.03)


def test_a_field_multiplies_what_a_scanner_measures_and_all_slices_alike() -> None:
    images, mask = slab()
    torch.testing.assert_close(changed(images, mask, FIELD, 0.1), images * np.exp(0.1))
    parameters = [appearance.sample(replace(NOTHING, bias=0.3), 2, np.random.default_rng(i)) for i in range(2)]
    inside = mask.expand_as(images)
    ratio = appearance.apply(parameters, torch.ones_like(images) * inside, mask, noise(images))
    torch.testing.assert_close(ratio[:, :, 0], ratio[:, :, 2])
    steps = ratio[..., 4:-4, 4:-6].log().diff(dim=-1).abs()
    assert 0 < steps.max() < 0.2


@pytest.mark.parametrize("part", [BLUR, THICK])
def test_blurred_and_thick_slices_keep_a_constant(part: int) -> None:
    everywhere = torch.ones(2, 1, 3, 24, 24, dtype=torch.bool)
    constant = torch.full((2, 2, 3, 24, 24), 0.7)
    made = changed(constant, everywhere, part, 1.0)
    torch.testing.assert_close(made[..., 3:-3, 3:-3], constant[..., 3:-3, 3:-3])


@pytest.mark.parametrize("sd", [0.6, 0.9, 1.2])
def test_a_blur_is_a_gaussian_of_the_sd_asked_within_the_slice(sd: float) -> None:
    point = torch.zeros(2, 2, 3, 24, 24)
    point[:, :, 1, 12, 12] = 1
    made = changed(point, torch.ones_like(point[:, :1], dtype=torch.bool), BLUR, sd)
    assert not made[:, :, [0, 2]].any()
    across = made[0, 0, 1].sum(0)
    at = torch.arange(24) - 12.0
    assert across.sum().item() == pytest.approx(1, abs=1e-5)
    assert (across * at**2).sum().sqrt().item() == pytest.approx(sd, rel=0.1)
    torch.testing.assert_close(made[0, 0, 1], made[0, 0, 1].T)


def test_thick_slices_are_the_mean_of_themselves_and_their_neighbours() -> None:
    everywhere = torch.ones(2, 1, 4, 8, 8, dtype=torch.bool)
    ramp = torch.tensor([0.0, 3.0, 0.0, 6.0]).view(1, 1, 4, 1, 1).expand(2, 2, 4, 8, 8)
    made = changed(ramp, everywhere, THICK, 1.0)[0, 0, :, 4, 4]
    torch.testing.assert_close(made, torch.tensor([1.0, 1.0, 3.0, 4.0]))
    half = changed(ramp, everywhere, THICK, 0.5)[0, 0, :, 4, 4]
    torch.testing.assert_close(half, torch.tensor([0.5, 2.0, 1.5, 5.0]))


def test_what_is_drawn_has_the_strengths_and_probabilities_asked() -> None:
    usual = Appearance()
    drawn = np.concatenate([appearance.sample(usual, 4, np.random.default_rng(i)) for i in range(500)])
    assert np.log(drawn[:, 0]).std() == pytest.approx(usual.gain, rel=0.1)
    assert drawn[:, 1].std() == pytest.approx(usual.offset, rel=0.1)
    assert drawn[:, CURVE].std() == pytest.approx(usual.curve, rel=0.1)
    assert drawn[:, FIELD].std() == pytest.approx(usual.bias, rel=0.1)
    assert 0 <= drawn[:, NOISE].min() < drawn[:, NOISE].max() <= usual.noise
    assert drawn[:, BLUR].max() <= usual.blur
    assert drawn[:, THICK].max() <= 1
    assert (drawn[:, BLUR] > 0).mean() == pytest.approx(usual.blurred, abs=0.03)
    assert (drawn[:, THICK] > 0).mean() == pytest.approx(usual.thickened, abs=0.03)
