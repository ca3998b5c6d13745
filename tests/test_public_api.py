"""What `import polycontrast` offers, and that it costs nothing until it is used."""

import os
import subprocess
import sys

import pytest

import polycontrast

HEAVY = ("torch", "matplotlib", "nibabel", "scipy", "numpy", "SimpleITK", "skimage", "safetensors", "pandas")


def run(code: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize("name", polycontrast.__all__)
def test_every_public_name_is_there_and_stays_what_it_is(name: str) -> None:
    assert getattr(polycontrast, name) is getattr(polycontrast, name)


def test_public_names_are_those_of_their_rooms() -> None:
    from polycontrast.infer.synthesizer import Synthesizer
    from polycontrast.metrics.evaluate import evaluate
    from polycontrast.systems import SYSTEMS

    assert polycontrast.Synthesizer is Synthesizer
    assert polycontrast.evaluate is evaluate
    assert polycontrast.SYSTEMS is SYSTEMS


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'synthesise'"):
        polycontrast.synthesise  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import polycontrast",
        "import polycontrast.cli",
        "import sys, polycontrast.cli as c; sys.argv[1:] = ['--help']\ntry: c.main()\nexcept SystemExit: pass",
        "import sys, polycontrast.cli as c; sys.argv[1:] = ['synth', '--help']\ntry: c.main()\nexcept SystemExit: pass",
    ],
    ids=["import", "cli", "help", "help of a verb"],
)
def test_import_and_help_are_light(code: str) -> None:
    done = run(f"{code}\nimport sys\nprint('LOADED', *sorted(set(sys.modules) & set({HEAVY})))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_reading_files_needs_no_torch() -> None:
    rooms = "polycontrast.io.layout, polycontrast.io.formats, polycontrast.io.case_table, polycontrast.workflows.check"
    done = run(f"import sys, {rooms}\nassert 'torch' not in sys.modules, 'torch'")
    assert done.returncode == 0, done.stderr


def test_slices_are_drawn_without_the_time_that_matplotlib_takes(tmp_path) -> None:
    code = f"""
import sys, pathlib, numpy as np
from polycontrast import pictures
volume = np.ones((8, 8, 8), np.float32)
path = pathlib.Path({str(tmp_path / "m.png")!r})
pictures.mosaic(path, {{"T2": volume}}, spacing=(1, 1, 1), center=(4, 4, 4), title="a")
print("LOADED", "matplotlib" in sys.modules)
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED False"
