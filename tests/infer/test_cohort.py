"""run_case and run_cohort: files that say what they are, are whole or absent, and hold nothing of a source's header."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polycontrast
from polycontrast.contrasts import slug
from polycontrast.errors import CaseFault, UserError
from polycontrast.infer import cohort
from polycontrast.infer.synthesizer import Synthesizer
from polycontrast.io import files, nifti
from polycontrast.io.layout import Case
from polycontrast.io.volume import Geometry

from .. import models, tiny
from . import places
from .conftest import brain

SHAPE = (21, 26, 9)
PLACE = places.affine(spacing=(6.0, 5.0, 2.5), angles=(0.1, -0.2, 0.15), offset=(-70.0, 12.5, 3.0))
WANT = ("FLAIR", "T1ce", "T1")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return case_of(tiny.write(tmp_path / "in" / "P1_t2.nii.gz", brain(SHAPE), PLACE))


def case_of(*paths: Path, id: str = "P1") -> Case:
    return Case(id, {"T2": paths[0]}, None, "files", "brats")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


EXPECTED = {f"P1/P1_{slug(c)}_synth.{end}" for c in WANT for end in ("nii.gz", "json")} | {"P1/P1_synth.png"}


@pytest.mark.usefixtures("drawn")
class TestOneCase:
    def test_leaves_a_volume_and_a_sidecar_for_each_contrast_and_one_picture(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, drawn: list[list[str]]
    ) -> None:
        done = cohort.run_case(case, synthesizer, tmp_path / "out")
        assert contents(tmp_path / "out").keys() == EXPECTED
        assert (done.case, done.folder, done.made, done.skipped) == ("P1", tmp_path / "out" / "P1", WANT, ())
        assert drawn == [["T2", "FLAIR synthetic", "T1ce synthetic", "T1 synthetic"]]

    def test_the_sidecar_tells_where_the_volume_comes_from(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "out")
        told = json.loads((tmp_path / "out/P1/P1_t1ce_synth.json").read_text(encoding="utf-8"))
        assert told["synthetic"] is True
        assert (told["contrast"], told["have"], told["want"]) == ("T1ce", ["T2"], list(WANT))
        assert told["polycontrast"] == polycontrast.__version__
        assert told["model"] == {"name": "tiny", "recipe": "tiny", "sha256": synthesizer.sha256}
        assert told["inputs"] == {"T2": {"file": "P1_t2.nii.gz", "sha256": files.sha256(case.contrasts["T2"])}}
        assert (told["device"], told["seed"]) == ("cpu", 0)
        inside = brain(SHAPE)[brain(SHAPE) > 0].astype(np.float64)
        normalisation = told["normalisation"]
        assert normalisation["inputs"]["T2"]["mean"] == pytest.approx(inside.mean())
        assert normalisation["inputs"]["T2"]["sd"] == pytest.approx(inside.std())
        assert tuple(normalisation["to_normalised"]["T1ce"]) == synthesizer.config.units["T1ce"]
        assert "mean 0.5" in normalisation["units"]
        assert normalisation["system"] == "slice-max"
        assert "not a medical device" in told["notice"]
        assert any("6 mm" in flag for flag in told["flags"])

    def test_a_background_of_another_value_is_told_and_makes_the_same(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        other = np.where(brain(SHAPE) == 0, np.float32(-1), brain(SHAPE))
        cohort.run_case(case, synthesizer, tmp_path / "a", ["T1"])
        cohort.run_case(
            case_of(tiny.write(tmp_path / "other_t2.nii.gz", other, PLACE)), synthesizer, tmp_path / "b", ["T1"]
        )
        right, found = (
            {n.rpartition("_synth.")[2]: c for n, c in contents(tmp_path / out).items()} for out in ("a", "b")
        )
        assert found["nii.gz"] == right["nii.gz"]
        told, usual = json.loads(found["json"]), json.loads(right["json"])
        assert told["normalisation"] == usual["normalisation"]
        assert [flag for flag in told["flags"] if flag not in usual["flags"]] == [
            "T2: the background is -1 everywhere, not 0: it was taken as 0; set it to 0"
        ]

    def test_the_header_says_synthetic(self, case: Case, synthesizer: Synthesizer, tmp_path: Path) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "out")
        for contrast in WANT:
            image = nib.load(tmp_path / f"out/P1/P1_{slug(contrast)}_synth.nii.gz")
            assert image.header["descrip"].item().decode() == f"SYNTHETIC {contrast} by polycontrast"
            assert image.get_data_dtype() == np.float32

    def test_what_is_written_is_what_the_synthesizer_made(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "out")
        made = synthesizer({"T2": case.contrasts["T2"]})
        for contrast in WANT:
            written = nifti.read(tmp_path / f"out/P1/P1_{slug(contrast)}_synth.nii.gz")
            np.testing.assert_array_equal(written.array, made[contrast].array)

    def test_same_input_gives_the_same_bytes(self, case: Case, synthesizer: Synthesizer, tmp_path: Path) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "a")
        cohort.run_case(case, synthesizer, tmp_path / "b")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_a_second_run_skips_what_is_there(
        self,
        case: Case,
        synthesizer: Synthesizer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        drawn: list[list[str]],
    ) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "out", ["T1"])
        first = contents(tmp_path / "out")
        more = cohort.run_case(case, synthesizer, tmp_path / "out")
        assert (more.made, more.skipped) == (("FLAIR", "T1ce"), ("T1",))
        everything = contents(tmp_path / "out")
        assert {name: everything[name] for name in first} == first
        assert drawn[-1] == ["T2", "FLAIR synthetic", "T1ce synthetic", "T1 synthetic"]  # with what was there
        monkeypatch.setattr("polycontrast.io.formats.read", None)  # nothing is read again
        done = cohort.run_case(case, synthesizer, tmp_path / "out")
        assert (done.made, done.skipped) == ((), WANT)
        assert contents(tmp_path / "out") == everything

    @pytest.mark.parametrize("writer", ["nifti.write", "write_json"])
    @pytest.mark.parametrize("which", [1, 2])
    def test_a_kill_half_way_leaves_only_whole_files_and_a_second_run_completes_them(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, writer: str, which: int
    ) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "whole")
        with pytest.MonkeyPatch.context() as patch:
            fail_at_call(patch, writer, which)
            with pytest.raises(KeyboardInterrupt):
                cohort.run_case(case, synthesizer, tmp_path / "out")
        whole, left = contents(tmp_path / "whole"), contents(tmp_path / "out")
        assert left.items() < whole.items()
        cohort.run_case(case, synthesizer, tmp_path / "out")
        again = contents(tmp_path / "out")
        assert again.keys() == whole.keys()
        assert {n: b for n, b in again.items() if n.endswith("gz")} == {n: b for n, b in whole.items() if "gz" in n}

    def test_a_kill_within_a_write_leaves_no_part_of_a_file(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("polycontrast.io.files.os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            cohort.run_case(case, synthesizer, tmp_path / "out")
        assert contents(tmp_path / "out").keys() == {"P1/P1_synth.png"}

    def test_a_kill_while_replacing_leaves_no_sidecar_of_the_volume_before(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        """Else the old model's next run would take the new model's volume for its own."""
        old = Synthesizer.load(models.make_run(tmp_path / "old", seed=1))
        cohort.run_case(case, old, tmp_path / "out")
        with pytest.MonkeyPatch.context() as patch:
            fail_at_call(patch, "write_json", 1)
            with pytest.raises(KeyboardInterrupt):
                cohort.run_case(case, synthesizer, tmp_path / "out", overwrite=True)
        assert cohort.run_case(case, old, tmp_path / "out").made == WANT

    def test_another_model_or_input_is_refused_and_overwrites_only_when_told(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        cohort.run_case(case, synthesizer, out)
        before = contents(out)
        other = Synthesizer.load(models.make_run(tmp_path / "other", seed=1))
        elsewhere = case_of(tiny.write(tmp_path / "in2" / "P1_t2.nii.gz", brain(SHAPE, seed=5), PLACE))
        for changed, model in ((case, other), (elsewhere, synthesizer)):
            with pytest.raises(UserError, match="another model or from other inputs") as caught:
                cohort.run_case(changed, model, out)
            assert "--overwrite" in caught.value.hint
            assert contents(out) == before
        assert cohort.run_case(case, other, out, overwrite=True).made == WANT
        after = contents(out)
        assert all(after[name] != before[name] for name in EXPECTED if not name.endswith("png"))

    @pytest.mark.parametrize("content", [b"", b"not ours", b"\x1f\x8b damaged", "written"])
    def test_a_volume_that_another_tool_left_is_refused_and_overwritten_only_when_told(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, content: bytes | str
    ) -> None:
        theirs = tmp_path / "out/P1/P1_t1_synth.nii.gz"
        tiny.write(theirs, brain(SHAPE), PLACE)
        if isinstance(content, bytes):
            theirs.write_bytes(content)
        before = contents(tmp_path / "out")
        with pytest.raises(UserError, match="not made by polycontrast") as caught:
            cohort.run_case(case, synthesizer, tmp_path / "out")
        assert "--overwrite" in caught.value.hint
        assert caught.value.path == theirs
        assert contents(tmp_path / "out") == before
        assert cohort.run_case(case, synthesizer, tmp_path / "out", overwrite=True).made == WANT

    def test_a_sidecar_without_its_volume_is_replaced_only_by_its_like(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        cohort.run_case(case, synthesizer, out)
        (out / "P1/P1_t1_synth.nii.gz").unlink()
        assert cohort.run_case(case, synthesizer, out).made == ("T1",)
        (out / "P1/P1_t1_synth.nii.gz").unlink()
        other = out / "P1/P1_t1_synth.json"
        other.write_text('{"EchoTime": 0.1}', encoding="utf-8")
        with pytest.raises(UserError, match="made by another model") as caught:
            cohort.run_case(case, synthesizer, out)
        assert caught.value.path == other
        assert other.read_text(encoding="utf-8") == '{"EchoTime": 0.1}'

    @pytest.mark.parametrize("bad", ["case", "input", "model"])
    def test_a_name_that_is_not_utf_8_is_refused_before_any_work(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
    ) -> None:
        if bad == "case":
            case = replace(case, id="M\udcfcller")
        elif bad == "input":
            case = replace(case, contrasts={"T2": tmp_path / "M\udcfcller_t2.nii.gz"})
        else:
            monkeypatch.setattr(synthesizer, "name", "M\udcfcller")
        monkeypatch.setattr("polycontrast.io.formats.read", None)  # nothing is read
        with pytest.raises(UserError, match=r"M\\udcfcller.* not in UTF-8"):
            cohort.run_case(case, synthesizer, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("text", ["[]", "{", "3"])
    def test_a_damaged_sidecar_is_refused_in_words(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, text: str
    ) -> None:
        cohort.run_case(case, synthesizer, tmp_path / "out")
        (tmp_path / "out/P1/P1_t1_synth.json").write_text(text)
        with pytest.raises(UserError):
            cohort.run_case(case, synthesizer, tmp_path / "out")
        assert cohort.run_case(case, synthesizer, tmp_path / "out", overwrite=True).made == WANT

    def test_nothing_of_the_source_header_is_copied(
        self, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()  # the picture is drawn: it is an output too
        source = tmp_path / "in" / "P1_t2.nii.gz"
        source.parent.mkdir()
        nib.save(marked_image(), source)
        assert gzip.decompress(source.read_bytes()).count(b"CANARY") == 6
        cohort.run_case(case_of(source), synthesizer, tmp_path / "out")
        written = contents(tmp_path / "out")
        assert written.keys() == EXPECTED
        for name, content in written.items():
            plain = gzip.decompress(content) if name.endswith(".gz") else content
            assert b"CANARY" not in plain.upper(), name
        for name in WANT:
            image = nib.load(tmp_path / f"out/P1/P1_{slug(name)}_synth.nii.gz")
            assert not len(image.header.extensions)
            assert image.header["cal_max"] == image.header["toffset"] == image.header["slice_duration"] == 0

    def test_a_case_without_the_input_is_refused(self, synthesizer: Synthesizer, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="needs T2, found T1"):
            cohort.run_case(
                Case("P1", {"T1": tmp_path / "t1.nii.gz"}, None, "files", "brats"), synthesizer, tmp_path / "out"
            )
        assert not (tmp_path / "out").exists()

    def test_a_folder_that_cannot_be_made_is_told(
        self, case: Case, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setattr("polycontrast.infer.cohort._mosaic", lambda *_: None)
        with pytest.raises(UserError, match="cannot write") as caught:
            cohort.run_case(case, synthesizer, tmp_path / "file" / "out")
        assert "choose another output folder" in caught.value.hint


def fail_at_call(patch: pytest.MonkeyPatch, name: str, which: int) -> None:
    """The which-th call of this function from `infer.cohort` is a Ctrl-C before anything is done."""
    module, _, attribute = name.rpartition(".")
    holder: Any = getattr(cohort, module) if module else cohort
    real, calls = getattr(holder, attribute), iter(range(1, 99))

    def write(*args: Any, **named: Any) -> None:
        if next(calls) == which:
            raise KeyboardInterrupt
        real(*args, **named)

    patch.setattr(holder, attribute, write)


def marked_image() -> nib.Nifti1Image:
    """An image whose header is full of what could be a patient's name."""
    image = nib.Nifti1Image(brain(SHAPE), PLACE)
    image.header["descrip"] = b"CANARY descrip"
    image.header["intent_name"] = b"CANARY intent"
    image.header["aux_file"] = b"CANARY aux"
    image.header["db_name"] = b"CANARY db"
    image.header["cal_max"], image.header["toffset"], image.header["slice_duration"] = 77, 78, 79
    for code in ("comment", "dicom"):
        content = b"CANARY comment" if code == "comment" else b"\x10\0\x10\0PN\x0c\0CANARY^NAME "
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
    return image


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=places.geometries(), big_endian=st.booleans(), ending=st.sampled_from([".nii", ".nii.gz"]))
def test_geometry_in_the_files_is_the_inputs_to_the_bit(
    synthesizer: Synthesizer,
    drawn: list[list[str]],
    tmp_path_factory: pytest.TempPathFactory,
    place: Geometry,
    big_endian: bool,
    ending: str,
) -> None:
    folder = tmp_path_factory.mktemp("case")
    source = folder / f"t2{ending}"
    save_as_stored(source, place, big_endian)
    cohort.run_case(case_of(source), synthesizer, folder / "out", ["T1"])
    before, after = stored_geometry(source), stored_geometry(folder / "out/P1/P1_t1_synth.nii.gz")
    assert after == before
    assert drawn


def save_as_stored(path: Path, place: Geometry, big_endian: bool) -> None:
    """The header as it is, by no library's leave, and the voxels of a brain behind it."""
    header = place.header.copy()
    header.set_data_dtype(np.float32)
    header["vox_offset"] = header.single_vox_offset
    order = ">" if big_endian else "<"
    block = header.as_byteswapped(order).binaryblock.ljust(int(header["vox_offset"]), b"\0")
    content = block + brain(place.shape).astype(f"{order}f4").tobytes(order="F")
    path.write_bytes(gzip.compress(content) if path.name.endswith("gz") else content)


def stored_geometry(path: Path) -> dict[str, list[Any]]:
    """Shape, both transforms, codes and units as nibabel reads them, unmended."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.name.endswith("gz") else content
    version_2 = 540 in (int.from_bytes(content[:4], order) for order in ("little", "big"))
    kind = nib.Nifti2Header if version_2 else nib.Nifti1Header
    header = kind(content[: kind.sizeof_hdr], check=False)
    names = [n for n in header if n.startswith(("srow", "quatern", "qoffset", "pixdim", "xyzt", "qform", "sform"))]
    return {name: np.asarray(header[name]).tolist() for name in ["dim", *names]}


@pytest.mark.usefixtures("drawn")
class TestManyCases:
    @pytest.fixture
    def cases(self, tmp_path: Path) -> list[Case]:
        cases = []
        for i in range(3):
            path = tiny.write(tmp_path / "in" / f"P{i}_t2.nii.gz", brain(SHAPE, seed=i), PLACE)
            cases.append(case_of(path, id=f"P{i}"))
        return cases

    def test_a_bad_case_is_told_and_the_rest_is_done(
        self, cases: list[Case], synthesizer: Synthesizer, tmp_path: Path
    ) -> None:
        broken = cases[1].contrasts["T2"]
        broken.write_bytes(broken.read_bytes()[:-40])
        told: list[Any] = []
        done, failed = cohort.run_cohort(cases, synthesizer, tmp_path / "out", ["T1"], notify=told.append)
        assert [d.case for d in done] == ["P0", "P2"]
        ((name, error),) = failed
        assert (name, error.path) == ("P1", broken)
        assert told == [done[0], (name, error), done[1]]
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["P0", "P2"]


@pytest.fixture
def skulled(tmp_path: Path) -> Case:
    array = brain(SHAPE) + np.random.default_rng(1).uniform(1, 3, SHAPE).astype(np.float32)
    return case_of(tiny.write(tmp_path / "in" / "P1_t2.nii.gz", array, np.diag([6.0, 6.0, 6.5, 1.0])))


@pytest.mark.usefixtures("drawn")
def test_unusual_input_is_flagged_in_the_sidecar_and_in_what_is_returned(
    skulled: Case, synthesizer: Synthesizer, tmp_path: Path
) -> None:
    done = cohort.run_case(skulled, synthesizer, tmp_path / "out", ["T1"])
    told = json.loads((tmp_path / "out/P1/P1_t1_synth.json").read_text(encoding="utf-8"))["flags"]
    assert told == list(done.flags)
    assert any("6.5 mm" in flag for flag in told)
    assert any("skull" in flag for flag in told)


@pytest.mark.usefixtures("drawn")
def test_a_case_that_breaks_in_an_unforeseen_way_does_not_stop_the_others(
    case: Case, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = cohort.formats.read

    def broken(path: Path) -> Any:
        if path.parent.name == "bad":
            raise MemoryError("no room")
        return read(path)

    bad = case_of(tiny.write(tmp_path / "bad" / "P0_t2.nii.gz", brain(SHAPE), PLACE), id="P0")
    monkeypatch.setattr(cohort.formats, "read", broken)
    done, failed = cohort.run_cohort([bad, case], synthesizer, tmp_path / "out")
    assert [d.case for d in done] == ["P1"]
    assert [(name, str(error)) for name, error in failed] == [("P0", "MemoryError: no room")]
    assert isinstance(failed[0][1].__cause__, MemoryError)


def test_a_folder_that_may_not_be_entered_is_the_users_and_a_notice_that_fails_is_no_failure_of_its_case() -> None:
    def forbidden() -> cohort.Done:
        raise PermissionError(13, "Permission denied", "/locked/t2.nii.gz")

    _, ((_, error),) = cohort.run_each([("P0", forbidden)], lambda _: None)
    assert str(error).startswith("/locked/t2.nii.gz: permission denied")
    assert not isinstance(error, CaseFault)

    def lost(_: object) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        cohort.run_each([("P0", lambda: cohort.Done("P0", Path(), (), (), ()))], lost)


@pytest.mark.usefixtures("drawn")
def test_a_case_that_the_model_was_trained_on_is_flagged(
    case: Case, synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer, "config", replace(synthesizer.config, cases=("P1",)))
    done = cohort.run_case(case, synthesizer, tmp_path / "out")
    assert any("trained on this patient" in flag for flag in done.flags)


def test_a_synthetic_volume_says_so_as_a_nibabel_image_too(synthesizer: Synthesizer) -> None:
    made = synthesizer({"T2": nib.Nifti1Image(brain(SHAPE), PLACE)}, ["T1"])["T1"]
    assert bytes(made.to_nibabel().header["descrip"]).startswith(b"SYNTHETIC T1")
