"""any2any on every subset of a patient's contrasts: how good, what one more input is worth, how honest its confidence.

    python benchmarks/subsets.py judge --model any2any --data DATA --split SPLIT --role test -o SUBSETS.json
    python benchmarks/subsets.py table -o SUBSETS.json

`judge` writes {case: {way: {measure: value}}}: PSNR, SSIM and NMAE in the brain and the tumour, the share of brain
voxels within the 50, 80 and 95 % intervals, and the share of the error in the least confident tenth.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from common import table
from judge import CONTRASTS, LEAST_CONFIDENT, arguments, interval, mean, values_of
from polycontrast.contrasts import slug
from polycontrast.data.cache import Entry
from polycontrast.device import choose, keep_memory
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io.files import read_json, write_json
from polycontrast.metrics.statistics import paired_difference
from polycontrast.recipes import way_of
from polycontrast.workflows.calibrate import LEVELS, made, stored, subsets
from polycontrast.workflows.cohort import cached_cases

Rows = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def main() -> None:
    """One of the two steps."""
    parser = arguments(__doc__, ("judge", "table"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--model", default="any2any")
    parser.add_argument("--role", default="test")
    parser.add_argument("--slices", type=int, default=1000, help="no more than so many, in the middle of the brain")
    a = parser.parse_args()
    keep_memory()
    if a.step == "table":
        print(tabled(read_json(a.out)))
        return
    model = Synthesizer.load(a.model, choose(a.device))
    entries = cached_cases(a.data, a.split, a.role, CONTRASTS, a.cache, quiet=True)
    with ThreadPoolExecutor(a.threads) as pool:
        rows = pool.map(lambda entry: of_case(model, entry, a.slices), entries)
        write_json(a.out, {entry.id: row for entry, row in zip(entries, rows, strict=True)})


def of_case(model: Synthesizer, entry: Entry, slices: int) -> dict[str, dict[str, float | None]]:
    """{way: {measure: value}} of one patient."""
    images, mask = stored(entry)
    first = max(0, (mask.shape[2] - slices) // 2)
    shown = (slice(None), slice(None), slice(first, first + slices))
    images, mask = {name: image[shown] for name, image in images.items()}, mask[shown]
    tumour = entry.lesion(slice(None)).transpose(1, 2, 0)[shown] & mask
    found = {}
    for have in subsets(model, entry):
        for want, (image, scale) in made(model, images, mask, entry, have).items():
            values = values_of(images[want], image, mask, tumour, scale=scale)
            if scale is not None:
                apart = np.abs(images[want] - image)[mask] / scale[mask]
                levels = model.levels(have, want)
                values |= {f"within {n} %": float((apart <= levels[str(n)]).mean()) for n in LEVELS if levels}
            found[way_of(have, (want,))] = values
    return found


def tabled(rows: Rows) -> str:
    """Every subset; one more input, patient by patient; coverage over all ways."""
    ways = list(next(iter(rows.values())))
    haves = sorted({way.partition("_to_")[0] for way in ways}, key=lambda have: (have.count("_"), have))
    wants = [slug(name) for name in CONTRASTS]

    def values(way: str, measure: str) -> list[float | None]:
        return [row[way].get(measure) for row in rows.values()]

    def cell(have: str, want: str) -> str:
        way = f"{have}_to_{want}"
        return " / ".join(mean(values(way, m)) for m in ("psnr", "ssim", "nmae")) if way in ways else "given"

    every = table(
        ["given", *wants], [[have.replace("_", ", "), *(cell(have, want) for want in wants)] for have in haves]
    )
    more = []
    for have in haves:
        for extra in (name for name in wants if name not in have.split("_")):
            larger = "_".join(name for name in wants if name in (*have.split("_"), extra))
            for want in (name for name in wants if name not in larger.split("_")):
                gains = [
                    paired_difference(values(f"{larger}_to_{want}", m), values(f"{have}_to_{want}", m))
                    for m in ("psnr", "ssim", "nmae")
                ]
                more.append([f"{have.replace('_', ', ')} + {extra}", want, *(interval(gain, "+.4f") for gain in gains)])
    honest = []
    for have in haves:
        for want in wants:
            if (way := f"{have}_to_{want}") in ways:
                measures = [*(f"within {n} %" for n in LEVELS), LEAST_CONFIDENT]
                honest.append([have.replace("_", ", "), want, *(mean(values(way, m)) for m in measures)])
    return "\n".join((
        "PSNR dB / SSIM / NMAE in the brain, means over patients:\n", every,
        "One more input, patient by patient:\n", table(["given", "made", "PSNR dB", "SSIM", "NMAE"], more),
        "Confidence:\n",
        table(["given", "made", *(f"{n} %" for n in LEVELS), LEAST_CONFIDENT], honest),
    ))  # fmt: skip


if __name__ == "__main__":
    main()
