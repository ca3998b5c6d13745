"""Polycontrast: synthesises the MRI contrasts a patient lacks from the ones there are. Research only.

    model = polycontrast.Synthesizer.load("any2any")   # the model that comes along, or a run folder
    made = model({"T2": "t2.nii.gz"})          # a path, a nibabel image or an array
    made["T1"].to_nibabel()

Names are imported when first used, so that `import polycontrast` stays light. Training from Python:
`from polycontrast.train.loop import train` (here, `polycontrast.train` could only be the package of that name).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polycontrast.infer.synthesizer import Synthesizer
    from polycontrast.metrics.evaluate import evaluate
    from polycontrast.systems import SYSTEMS

__version__ = "0.1.0"
__all__ = ["SYSTEMS", "Synthesizer", "__version__", "evaluate"]

_PLACES = {
    "Synthesizer": "polycontrast.infer.synthesizer",
    "evaluate": "polycontrast.metrics.evaluate",
    "SYSTEMS": "polycontrast.systems",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'polycontrast' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
