"""Small drawn images in place of photographs, in the layouts of the published data sets, and tiny recipes for them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from polycontrast.data.configs import PhotoConfig, PhotoSet
from polycontrast.recipes import Recipe, TrainConfig
from polycontrast.systems.cyclegan import CycleganConfig
from polycontrast.systems.pix2pix import Pix2pixConfig
from polycontrast.systems.stargan import StarganConfig

ATTRIBUTES = ("Bald", "Smiling", "Young")
EXPRESSIONS = ("happy", "sad")
ALIGNED = PhotoConfig(load=18, size=16)
UNPAIRED = replace(ALIGNED, layout="unpaired")
FACES = PhotoSet("celeba", ("Young", "Bald"), crop=20, held_out=2)
MOODS = PhotoSet("rafd", EXPRESSIONS, crop=22, held_out=1)
CELEBA = PhotoConfig(layout="labelled", contrasts=("photograph",), load=16, size=16, sets=(FACES,))
RAFD = replace(CELEBA, sets=(MOODS,))
JOINT = replace(CELEBA, sets=(FACES, MOODS))


def scene(seed: int, height: int = 24, width: int = 20) -> np.ndarray:
    """Ground, sky and a bright spot at the upper left, [height, width, 3] uint8; the seed decides its colours."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2], image[height // 2 :] = rng.integers(0, 120, (2, 3))
    image[2:5, 2:5] = rng.integers(200, 255, 3)
    return image


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def draw_pairs(folder: Path, number: int = 4) -> Path:
    """`train/<n>.png`: a scene and, to its right, its negative."""
    for n in range(number):
        save(folder / "train" / f"{n}.png", np.concatenate([scene(n), 255 - scene(n)], axis=1))
    return folder


def draw_sides(folder: Path, numbers: Sequence[int] = (5, 3)) -> Path:
    """`trainA/` with dark scenes, `trainB/` with negatives of other ones, in files of other names."""
    for n in range(numbers[0]):
        save(folder / "trainA" / f"a{n}.png", scene(n))
    for n in range(numbers[1]):
        save(folder / "trainB" / f"b{n}.png", 255 - scene(100 + n))
    return folder


def draw_celeba(folder: Path, number: int = 8) -> Path:
    """Images and their list: file n has the attributes whose bit is set in n."""
    rows = [f"{n:06d}.png " + " ".join("1" if n >> i & 1 else "-1" for i in range(3)) for n in range(number)]
    for n in range(number):
        save(folder / "images" / f"{n:06d}.png", scene(n))
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(number), " ".join(ATTRIBUTES), *rows, ""]))
    return folder


def draw_rafd(folder: Path, people: int = 3) -> Path:
    """Two expressions of some people, from the front and in full profile."""
    for person in range(people):
        for i, expression in enumerate(EXPRESSIONS):
            for angle in ("000", "090"):
                name = f"Rafd{angle}_{person:02d}_Caucasian_female_{expression}_frontal.png"
                save(folder / name, scene(10 * person + i, 24, 22))
    return folder


TRAIN = TrainConfig(batch=2, images=8, bfloat16=(), log_every=4, checkpoint_every=4, preview_every=8)


def pix2pix() -> Recipe:
    """From A to B of aligned pairs, at 32 pixels."""
    data = replace(ALIGNED, load=36, size=32)
    return Recipe("tiny_pix2pix", Pix2pixConfig(levels=3, base=4, critic_base=4), data, TRAIN)


def cyclegan() -> Recipe:
    """Between the sides of an unpaired folder."""
    system = CycleganConfig(have=("A",), want=("B",), blocks=1, base=4, critic_base=4)
    return Recipe("tiny_cyclegan", system, replace(UNPAIRED, load=36, size=32), TRAIN)


def stargan() -> Recipe:
    """To either of two attributes of drawn faces."""
    system = StarganConfig(
        have=("photograph",), want=("Young", "Bald"), exclusive=(False,), blocks=1, base=4, critic_levels=2,
        critic_base=4, critics=2,
    )  # fmt: skip
    return Recipe("tiny_stargan", system, CELEBA, TRAIN)


def stargan_joint() -> Recipe:
    """To two attributes or two expressions, learnt from two data sets."""
    one = stargan()
    system = replace(one.system, want=(*one.system.want, *EXPRESSIONS), exclusive=(False, True))
    return replace(one, name="tiny_stargan_joint", system=system, data=JOINT)
