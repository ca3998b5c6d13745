"""What each ingredient of any2any is worth: variants trained alike, judged on patients that none of them has seen.

    python benchmarks/ablate.py train base --data DATA --split SPLIT --images 20000 -o ABLATION
    python benchmarks/ablate.py judge base --data DATA --split SPLIT -o ABLATION
    python benchmarks/ablate.py table -o ABLATION

The base is the recipe at half its batch: short runs need steps; on two CPU cores, any2any_small at 2 mm
(`--recipe any2any_small --size 96 --batch 8`). `train` writes ABLATION/<variant>/run, `judge`
ABLATION/<variant>/judged_<have>.json (role *train*, T2 alone unless --have says otherwise, by the protocol
`polycontrast` in the brain and the tumour; ways of synthesis come with `--as`: fast, ensemble, raw, float32), `table`
prints all of them, and what each gains on the base. Never run on the role *test*.
"""

import argparse
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from common import table
from judge import CONTRASTS, FREQUENCIES, TENTHS, arguments, interval, mean, values_of
from polycontrast import recipes
from polycontrast.contrasts import canonical_set
from polycontrast.data.appearance import Appearance
from polycontrast.data.augment import Augmentation
from polycontrast.data.cache import Entry, cached
from polycontrast.data.phantom import write_cohort
from polycontrast.device import choose, keep_memory
from polycontrast.infer.options import Options
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import read_json, write_json
from polycontrast.io.layout import find_cases
from polycontrast.metrics.statistics import paired_difference
from polycontrast.recipes import Recipe
from polycontrast.train.loop import train
from polycontrast.workflows.calibrate import made, stored
from polycontrast.workflows.cohort import cached_cases


def system(**changed: Any) -> Callable[[Recipe], Recipe]:
    """The recipe with its system changed."""
    return lambda r: replace(r, system=replace(r.system, **changed))


def data(**changed: Any) -> Callable[[Recipe], Recipe]:
    """The recipe with its data changed."""
    return lambda r: replace(r, data=replace(r.data, **changed))


def settings(**changed: Any) -> Callable[[Recipe], Recipe]:
    """The recipe with its training changed."""
    return lambda r: replace(r, train=replace(r.train, **changed))


STILL = Augmentation(flip=0, rotate=0, scale=0, shift=0, gain=0)
PLAIN = Appearance(gain=0, offset=0, curve=0, bias=0, noise=0, blur=0, blurred=0, thickened=0)
LIGHT: dict[str, Any] = {"widths": (64, 96, 160, 256), "blocks": (1, 2, 2, 2)}  # half of the operations
PHANTOMS = 12  # a third of a cohort with 23 patients
GAINED = ("psnr", "ssim", "nmae", "tumour psnr", "tumour nmae")
SHOWN = (
    *GAINED,
    *(f"{of} {frequency}" for of in ("power", "ring correlation") for frequency in FREQUENCIES),
    *TENTHS,
)
WAYS = ("", "fast", "ensemble", "raw", "float32")  # of synthesis
Rows = Mapping[str, Mapping[str, Mapping[str, float | None]]]
VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    "base": lambda r: r,
    "again": settings(seed=1),  # how far two runs of one recipe lie apart
    "no_appearance": system(appearance=PLAIN),
    "no_geometry": system(augmentation=STILL),
    "flips_only": system(augmentation=replace(STILL, flip=0.5)),
    "likelihood": system(beta=0.0),
    "no_ssim": system(ssim=0.0),
    "ssim_20": system(ssim=0.2),
    "ssim_50": system(ssim=0.5),
    "ssim_200": system(ssim=2.0),
    "no_lesion": system(lesion=0.0),
    "adversarial_003": system(adversarial=0.003),
    "adversarial_01": system(adversarial=0.01),
    "adversarial_03": system(adversarial=0.03),
    "adversarial_10": system(adversarial=0.1),
    "adversarial_30": system(adversarial=0.3),
    "seg": system(seg=0.02),
    "one_slice": data(slab=3, made=1),
    "four_slices": data(slab=6, made=4),
    "no_favour": system(favoured_share=0.0),
    "no_average": settings(ema=0.0),
    "phantoms": lambda r: r,  # beside the patients
    "t2_only": system(have=("T2",), want=("T1", "T1ce", "FLAIR")),
    "half": system(widths=(48, 64, 96, 128)),
    "light": system(**LIGHT),
    "lighter": system(**{**LIGHT, "blocks": (1, 1, 2, 2)}),
    "light_seg": system(**LIGHT, seg=0.02),
    "light_adversarial_10": system(**LIGHT, adversarial=0.1),
    "light_adversarial_30": system(**LIGHT, adversarial=0.3),
}


def main() -> None:
    """One of the three steps."""
    parser = arguments(__doc__, ("train", "judge", "table"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("variant", nargs="?", choices=tuple(VARIANTS), default="base")
    parser.add_argument("--recipe", default="any2any")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, help="pixels across the frame: fewer than the recipe's for a small machine")
    parser.add_argument("--patients", type=int, default=12, help="the first of the role train")
    parser.add_argument("--have", default="t2")
    parser.add_argument("--as", dest="how", choices=WAYS, default="")
    a = parser.parse_args()
    keep_memory()
    if a.step == "table":
        print(tabled(a.out))
        return
    device = choose(a.device)
    if a.step == "train":
        base = settings(images=a.images, batch=a.batch)(recipes.recipe(a.recipe))
        base = data(size=a.size or base.data.size)(base)
        recipe = VARIANTS[a.variant](base)
        entries = cached_cases(a.data, a.split, "gan", CONTRASTS, a.cache, quiet=True)
        if a.variant == "phantoms":
            drawn = write_cohort(a.out / a.variant / "cohort", PHANTOMS, jitter=0.3)
            entries += cached(find_cases(drawn), CONTRASTS, a.cache)
        train(recipe, entries, a.out / a.variant / "run", device=device, resume=True, progress=False)
        return
    entries = cached_cases(a.data, a.split, "train", CONTRASTS, a.cache, quiet=True)[: a.patients]
    name = "_".join(part for part in ("judged", a.have.replace(",", "_"), a.how) if part)
    write_json(a.out / a.variant / f"{name}.json", judged(a.out / a.variant / "run", entries, a, device))


def judged(run: Path, entries: list[Entry], a: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """{case: {contrast: {measure: value}}}."""
    model = Synthesizer.load(run, device, Options(fast=a.how == "fast", ensemble=a.how == "ensemble"))
    if a.how == "raw":
        model.system.data = replace(model.system.data, centred=False)
    if a.how == "float32":
        model.system.bfloat16 = frozenset()
    have = canonical_set(a.have)
    with ThreadPoolExecutor(a.threads) as pool:
        rows = pool.map(lambda entry: of_case(model, entry, have), entries)
        return {entry.id: row for entry, row in zip(entries, rows, strict=True)}


def of_case(model: Synthesizer, entry: Entry, have: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """{contrast: {measure: value}} of one patient."""
    images, mask = stored(entry)
    tumour = entry.lesion(slice(None)).transpose(1, 2, 0) & mask
    return {
        name: values_of(images[name], image, mask, tumour, entry.spacing, scale)
        for name, (image, scale) in made(model, images, mask, entry, have).items()
    }


def tabled(out: Path) -> str:
    """Means over patients of every variant and way of judging, and what it gains on the base, patient by patient."""
    found = {f"{file.parent.name} {file.stem.removeprefix('judged_')}": file for file in sorted(out.glob("*/judged*"))}
    if not found:
        return "nothing was judged"
    means, gains = [], []
    for name, file in found.items():
        rows, base = read_json(file), usual_of(file)
        usual = read_json(base) if base.exists() and base != file else {}
        for contrast in CONTRASTS:
            values = {key: of(rows, rows, contrast, key) for key in SHOWN}
            if any(values["psnr"]):
                means.append([name, contrast, *(mean(v) for v in values.values())])
                both = [(of(rows, usual, contrast, key), of(usual, rows, contrast, key)) for key in GAINED]
                gains.append([name, contrast, *(interval(paired_difference(*pair), "+.3f") for pair in both)])
    tables = [table(["variant", "contrast", *SHOWN], means)]
    if gains := [row for row in gains if row[2] != "-"]:
        tables.append(table(["minus base", "contrast", *GAINED], gains))
    return "\n".join(tables)


def usual_of(file: Path) -> Path:
    """What a variant is compared with: the base judged alike, or, of the base itself, without the option."""
    base, options = file.parents[1] / "base", [f"_{how}" for how in WAYS if how]
    own = [option for option in options if file.parent == base and file.stem.endswith(option)]
    return base / (file.stem.removesuffix(own[0]) + file.suffix if own else file.name)


def of(rows: Rows, others: Rows, contrast: str, measure: str) -> list[float | None]:
    """One measure of the cases that both have."""
    return [rows[case].get(contrast, {}).get(measure) for case in rows if case in others]


if __name__ == "__main__":
    main()
