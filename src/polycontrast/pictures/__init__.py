"""One place that draws: mosaics and previews of volumes, curves of a training, charts of an evaluation.

PNG files, written whole or not at all; the same input gives the same bytes. matplotlib is imported when a
chart is drawn; pyplot, which keeps figures alive, is not used.
"""

from polycontrast.pictures.charts import bland_altman, joint_histogram, spectra, violins
from polycontrast.pictures.embed import Embedded, embed
from polycontrast.pictures.slices import center, mosaic, plane, preview
from polycontrast.pictures.training import curves

__all__ = [
    "Embedded",
    "bland_altman",
    "center",
    "curves",
    "embed",
    "joint_histogram",
    "mosaic",
    "plane",
    "preview",
    "spectra",
    "violins",
]
