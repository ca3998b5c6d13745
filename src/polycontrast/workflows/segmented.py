"""What the downstream segmentation says of each system: one table, with the inputs that need no system around it."""

from collections.abc import Mapping
from typing import Any

from polycontrast.io.labels import REGIONS
from polycontrast.metrics.downstream import BETTER, REAL, SYNTHETIC, UNITS, ZERO
from polycontrast.workflows.markdown import table

SHOWN = ("dice", "hd95", "slice_dice")
NOTE = (
    "A segmenter that was trained on real contrasts, given the real images, or the given ones and those that a system "
    "made, or zeros for the missing ones; and a segmenter that was trained on the given contrasts alone, which a "
    "system must beat to be of use. Mean [interval] over patients whose reference is not empty; slice-wise Dice is "
    "TC-MGAN's."
)


def among(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{input or system: {region: {measure: statistics}}}, the real images first; {} if nothing was segmented.

    summaries: of each system's evaluation.
    """
    found = {name: one["downstream"]["results"] for name, one in summaries.items() if "downstream" in one}
    if not found:
        return {}
    most = max(found.values(), key=lambda results: _cases(results, REAL))
    systems = {name: results[SYNTHETIC] for name, results in found.items() if SYNTHETIC in results}
    alone = {name: own for name, own in most.items() if name not in (REAL, SYNTHETIC, ZERO)}
    ends = {name: most[name] for name in (REAL, ZERO) if name in most}
    return {f"{name} images" if name == REAL else name: own for name, own in (systems | alone | ends).items()}


def markdown(rows: Mapping[str, Any]) -> str:
    """The section of a comparison; nothing if nothing was segmented."""
    if not rows:
        return ""
    heads = [f"{name} {UNITS[name]}".strip().replace("_", " ") + (" ↑" if BETTER[name] else " ↓") for name in SHOWN]
    sections = []
    for region in REGIONS:
        own = {name: by_region[region] for name, by_region in rows.items() if region in by_region}
        shown = [m for m in range(len(SHOWN)) if any(stats[SHOWN[m]]["n"] for stats in own.values())]
        lines = [
            [name, str(stats["dice"]["n"]), *(_cell(stats[SHOWN[m]], UNITS[SHOWN[m]]) for m in shown)]
            for name, stats in own.items()
        ]
        sections.append(f"### {region}\n\n" + table(["input", "n", *(heads[m] for m in shown)], lines))
    return f"## Downstream segmentation\n\n{NOTE}\n\n" + "\n".join(sections) + "\n"


def _cases(results: Mapping[str, Any], name: str) -> int:
    return max((stats["dice"]["n"] for stats in results.get(name, {}).values()), default=0)


def _cell(stats: Mapping[str, Any], unit: str) -> str:
    if stats["mean"] is None:
        return "–"
    decimals = 1 if unit else 3
    ends = " [{:.{d}f}, {:.{d}f}]".format(*stats["interval"], d=decimals) if stats["interval"] else ""
    return f"{stats['mean']:.{decimals}f}{ends}"
