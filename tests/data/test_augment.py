import numpy as np
import pytest
import torch
from torch import Tensor

from polycontrast.data import augment
from polycontrast.data.augment import Augmentation, Transform

STILL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
NOTHING = Augmentation(flip=0, rotate=0, scale=0, shift=0, gain=0)


def picture() -> tuple[Tensor, Tensor, Tensor]:
    """images [2, 1, 16, 16] that are zero outside the mask, the mask, and a lesion in it."""
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 3:13, 4:14] = True
    lesion = torch.zeros_like(mask)
    lesion[..., 5:8, 6:10] = True
    numbers = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return numbers * mask, mask, lesion


def drawn(seed: int, augmentation: Augmentation = Augmentation()) -> Transform:  # noqa: B008
    return augment.sample(augmentation, 2, np.random.default_rng(seed))


def test_the_same_seed_draws_the_same_transform_and_it_can_be_replayed() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    for first, second in zip(augment.apply(drawn(3), *picture()), augment.apply(drawn(3), *picture()), strict=True):
        assert torch.equal(first, second)


def test_no_strength_is_the_identity() -> None:
    transform = drawn(0, NOTHING)
    assert transform == Transform(STILL, (1.0, 1.0))
    images, mask, lesion = picture()
    moved_images, moved_mask, moved_lesion = augment.apply(transform, images, mask, lesion)
    torch.testing.assert_close(moved_images, images, atol=1e-5, rtol=0)
    assert torch.equal(moved_mask, mask)
    assert torch.equal(moved_lesion, lesion)


def test_a_flip_mirrors_the_first_in_plane_axis_which_is_left_to_right() -> None:
    transform = drawn(0, Augmentation(flip=1, rotate=0, scale=0, shift=0, gain=0))
    for moved, still in zip(augment.apply(transform, *picture()), picture(), strict=True):
        torch.testing.assert_close(moved, still.flip(-2), atol=1e-5, rtol=0)


def test_flips_come_as_often_as_asked() -> None:
    mirrored = [np.linalg.det(np.array(drawn(seed).matrix)[:, :2]) < 0 for seed in range(400)]
    assert 0.42 < np.mean(mirrored) < 0.58


def test_gains_scale_each_contrast_alone() -> None:
    images, mask, lesion = picture()
    moved, _, _ = augment.apply(Transform(STILL, (2.0, 0.5)), images, mask, lesion)
    torch.testing.assert_close(moved, images * torch.tensor([2.0, 0.5]).view(2, 1, 1, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_images_mask_and_lesion_move_alike(seed: int) -> None:
    _, mask, lesion = picture()
    transform = drawn(seed, Augmentation(gain=0))
    shown = torch.cat([mask, lesion]).float()  # images that show just the mask and the lesion
    images, moved_mask, moved_lesion = augment.apply(transform, shown, mask, lesion)
    assert torch.equal(images[:1] >= 0.5, moved_mask)
    assert torch.equal(images[1:] >= 0.5, moved_lesion)
    assert not images[:, ~moved_mask[0]].any()
    assert moved_lesion.any()
    assert moved_mask.dtype == moved_lesion.dtype == torch.bool


def test_a_shift_moves_by_its_fraction_of_the_frame() -> None:
    images, mask, lesion = picture()
    transform = Transform(
        ((1.0, 0.0, 0.0), (0.0, 1.0, 2 * 2 / 16)), (1.0, 1.0)
    )  # two of 16 pixels: the frame is 2 wide
    moved, _, _ = augment.apply(transform, images, mask, lesion)
    torch.testing.assert_close(moved[..., :14, :], images[..., 2:, :], atol=1e-5, rtol=0)


def test_what_is_drawn_keeps_to_its_limits() -> None:
    limits = Augmentation()
    for seed in range(50):
        matrix = np.array(drawn(seed).matrix)
        size = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        assert abs(size - 1) <= limits.scale
        assert np.degrees(np.arccos(matrix[0, 0] / size)) <= limits.rotate + 1e-6
        assert np.abs(matrix[:, 2]).max() <= 2 * limits.shift


BENDING = Augmentation(flip=0, rotate=0, scale=0, shift=0, gain=0, elastic=0.03)


def smooth(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """images [2, 3, 32, 32], a mask and a lesion: smooth hills, and where each of them is high."""
    x = torch.linspace(-1, 1, 32)
    hill = torch.exp(-3 * (x[:, None] ** 2 + (x[None] - 0.1 * seed) ** 2)).expand(1, 3, 32, 32)
    return torch.cat([hill, hill**2]), hill > 0.3, hill > 0.7


def test_a_batch_is_moved_as_each_of_its_samples_alone() -> None:
    for augmentation in (Augmentation(), Augmentation(elastic=0.03)):
        transforms, pictures = [drawn(seed, augmentation) for seed in range(3)], [smooth(seed) for seed in range(3)]
        alone = [augment.apply(t, *p) for t, p in zip(transforms, pictures, strict=True)]
        together = augment.apply_all(transforms, *map(torch.stack, zip(*pictures, strict=True)), "bilinear")
        for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
            torch.testing.assert_close(whole, torch.stack(parts))


def test_bicubic_interpolation_moves_to_the_same_place_and_leaves_mask_and_lesion_the_same() -> None:
    transform, (images, mask, lesion) = drawn(1, Augmentation(elastic=0.03)), smooth()
    linear = augment.apply(transform, images, mask, lesion)
    cubic = [x[0] for x in augment.apply_all([transform], images[None], mask[None], lesion[None])]
    torch.testing.assert_close(cubic[0], linear[0], atol=0.02, rtol=0)
    assert not torch.equal(cubic[0], linear[0])
    assert torch.equal(cubic[1], linear[1])
    assert torch.equal(cubic[2], linear[2])


@pytest.mark.parametrize("seed", range(5))
def test_bends_move_images_mask_and_lesion_alike(seed: int) -> None:
    _, mask, lesion = smooth()
    transform = drawn(seed, BENDING)
    shown = torch.cat([mask, lesion]).float()  # images that show just the mask and the lesion
    images, moved_mask, moved_lesion = augment.apply(transform, shown, mask, lesion)
    assert torch.equal(images[:1] >= 0.5, moved_mask)
    assert torch.equal(images[1:] >= 0.5, moved_lesion)
    assert not torch.equal(moved_mask, mask)
    assert moved_lesion.any()


def test_all_slices_of_a_slab_are_bent_alike() -> None:
    moved, _, _ = augment.apply(drawn(0, BENDING), *smooth())
    torch.testing.assert_close(moved[:, 1], moved[:, 0])
    torch.testing.assert_close(moved[:, 2], moved[:, 0])


def test_bends_are_small_smooth_and_of_the_strength_asked() -> None:
    """Images that show where they are tell how far they were moved: in knots' SDs of 3 % of the frame."""
    at = (torch.arange(64) + 0.5) / 64
    here = torch.stack([at[:, None].expand(64, 64), at[None].expand(64, 64)])[:, None]
    everywhere = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    moved = torch.stack([augment.apply(drawn(seed, BENDING), here, everywhere, everywhere)[0] for seed in range(20)])
    by = (moved - here)[..., 12:52, 12:52]  # where nothing comes from beyond the frame
    assert 0.015 < by.std() < 0.035
    assert by.diff(dim=-1).abs().max() < 0.03  # a pixel is 0.016: no fold


def test_a_recipe_without_bends_draws_what_it_always_drew() -> None:
    """Numbers of the version that knew no bends; the stream is left where it left it."""
    stream = np.random.default_rng(0)
    transform = augment.sample(Augmentation(), 2, stream)
    known = (
        (0.9624614876680373, -0.03682914584339077, -0.05801668373657651),
        (-0.03682914584339077, -0.9624614876680373, 0.03759242870403269),
    )
    np.testing.assert_allclose(transform.matrix, known, rtol=1e-12)
    np.testing.assert_allclose(transform.gains, (1.0182441809206002, 1.0673724799422062), rtol=1e-12)
    assert transform.bends == ()
    assert stream.random() == 0.7294965609839984
    bent = augment.sample(Augmentation(elastic=0.03), 2, np.random.default_rng(0))
    assert (bent.matrix, bent.gains) == (transform.matrix, transform.gains)
    assert len(bent.bends) == 72
