"""The rules of the house, read off its files: one-way imports, pinned torch, no data among the sources."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from polycontrast.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "polycontrast"

# From the ground up: a room imports only from rows above its own, or from itself.
ROWS = (
    ("errors", "weights", "__version__"),
    ("contrasts", "config", "device", "precision"),
    ("io",),
    ("pictures",),
    ("data",),
    ("nets", "losses"),
    ("systems",),
    ("recipes",),
    ("runs",),
    ("train", "infer"),
    ("metrics",),
    ("workflows",),
    ("export", "notebook", "web"),
    ("cli",),
    ("__main__", "__init__"),
)
HEIGHT = {room: height for height, row in enumerate(ROWS) for room in row}
MODULES = sorted(SOURCE.rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(SOURCE).with_suffix("").as_posix()


def room_of(file: Path) -> str:
    return name_of(file).split("/")[0]


def imported(file: Path) -> Iterator[str]:
    """Dotted names of everything a module imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(file)} imports by a relative name"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(file: Path) -> set[str]:
    inside = [name.split(".") for name in imported(file) if name.split(".")[0] == "polycontrast"]
    return {parts[1] if len(parts) > 1 else "__version__" for parts in inside} - {room_of(file)}


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_rooms_import_one_way(file: Path) -> None:
    room = room_of(file)
    against = {used for used in rooms_used(file) if HEIGHT[used] >= HEIGHT[room]}
    assert not against, f"{name_of(file)} imports from {against}"


def test_only_the_command_line_chooses_a_device() -> None:
    assert {room_of(file) for file in MODULES if "device" in rooms_used(file)} == {"cli"}


def test_reading_files_never_imports_torch() -> None:
    low = [file for file in MODULES if room_of(file) in ("errors", "contrasts", "config", "io", "pictures")]
    assert low
    assert not [name_of(file) for file in low if any(name.split(".")[0] == "torch" for name in imported(file))]


def test_systems_and_networks_touch_no_files() -> None:
    high = [file for file in MODULES if room_of(file) in ("nets", "systems", "losses")]
    reading = {"pathlib", "os", "shutil", "json", "safetensors", "nibabel"}
    assert not [name_of(file) for file in high if reading & {name.split(".")[0] for name in imported(file)}]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_a_file_that_can_be_read_at_one_sitting(name: str) -> None:
    lines = (SOURCE / "systems" / f"{name}.py").read_text(encoding="utf-8").count("\n")
    assert 100 <= lines <= 220


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_public_functions_and_classes_say_what_they_do(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
    assert ast.get_docstring(tree) or not tree.body, "no docstring of the module"


def locked() -> list[str]:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8").split("\n")[:-1]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_text_is_utf_8_whatever_the_locale(file: Path) -> None:
    """Not only the user's: once SimpleITK has read a DICOM series, the process's locale is "C"."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    text = [call for call in calls if ast.unparse(call.func).endswith((".read_text", ".write_text"))]
    assert all("encoding" in (keyword.arg for keyword in call.keywords) for call in text)


def test_the_lock_pins_versions_and_names_no_index_or_address() -> None:
    wrong = [line for line in locked() if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert not wrong


def test_torch_is_the_one_of_the_lock() -> None:
    (pinned,) = (line.partition("==")[2] for line in locked() if line.startswith("torch=="))
    assert importlib.metadata.version("torch").partition("+")[0] == pinned


def test_torchvision_is_neither_locked_nor_installed() -> None:
    """No build of it fits the pinned torch on every machine; installing one would replace torch."""
    assert not [line for line in locked() if line.lower().startswith("torchvision")]
    assert importlib.util.find_spec("torchvision") is None


def test_every_required_package_is_locked() -> None:
    names = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in locked()}
    required = [re.split(r"[^\w.-]", r)[0] for r in importlib.metadata.requires("polycontrast") or []]
    needed = {re.sub(r"[-_.]+", "-", name).lower() for name in required} - {"polycontrast"}
    assert needed
    assert not needed - names


def tracked() -> list[Path]:
    """The files of the checkout; skips where there is no git to ask."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_image_of_a_patient_and_no_large_file_lies_in_the_repository() -> None:
    images = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".dcm", ".npy", ".npz", ".h5")
    assert not [path for path in tracked() if path.name.lower().endswith(images)]
    allowed = {".safetensors": 12_000_000, ".html": 5_000_000}  # the shipped model, and the example report
    assert not [path for path in tracked() if path.stat().st_size > allowed.get(path.suffix, 2_000_000)]
