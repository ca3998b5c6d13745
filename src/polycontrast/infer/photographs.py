"""Models of photographs: an image or a folder of them in, PNG files with sidecars out.

A file is one photograph: what lies beside each other in the aligned pairs of training (`A|B`) is not cut apart here.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch

import polycontrast
from polycontrast import runs
from polycontrast.contrasts import slug
from polycontrast.data.configs import PhotoConfig
from polycontrast.data.images import centre, fit
from polycontrast.errors import UserError
from polycontrast.infer.cohort import Done, is_made, run_each
from polycontrast.infer.loading import load_system
from polycontrast.io.files import sha256, write_json
from polycontrast.io.photographs import Photo, find_photographs, read, write_png
from polycontrast.runs import RunConfig
from polycontrast.systems.base import System

LARGEST = 2048**2  # pixels: a generator holds some hundred numbers for each
_OTHER_SCALE = 1.5


class PhotoSynthesizer:
    """A trained model of photographs. have: the side that is given; want: the sides or attributes it can make of it."""

    def __init__(
        self, config: RunConfig, system: System, name: str, sha256: str, device: torch.device, have: str | None = None
    ) -> None:
        self.config, self.system, self.name, self.sha256, self.device = config, system, name, sha256, device
        assert isinstance(config.recipe.data, PhotoConfig)
        self.data = config.recipe.data
        try:
            self.have = system.sources((system.have[0] if have is None else have,))[0]
        except UserError as error:
            raise UserError(f"the model {name} {error.message}", error.hint) from None
        self.want = system.targets((self.have,))

    @classmethod
    def load(cls, model: str | Path, have: str | None = None, device: torch.device | str | None = None) -> Self:
        """The model in a run folder; have: which side is given, the model's first if None. Raises UserError if it is
        not a model of photographs."""
        device = torch.device(device or "cpu")
        config, system, digest = load_system(model, device)
        if not isinstance(config.recipe.data, PhotoConfig):
            where = runs.folder_of(model)
            raise UserError("this is a model of volumes, not of photographs", "give it patients' volumes", where)
        return cls(config, system, runs.name_of(model), digest, device, have)

    def check(self, want: Sequence[str] | None) -> tuple[str, ...]:
        """The wanted sides or attributes (None: all), or a UserError that names the nearest known one."""
        for name in want or ():
            if name not in self.want:
                near = get_close_matches(name, self.want, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]}? " if near else ""
                hint += f"it makes {', '.join(self.want)}"
                raise UserError(f"the model {self.name} was not trained to make {name} of {self.have}", hint)
        return self.want if want is None else tuple(dict.fromkeys(want))

    def crop(self, photo: Photo) -> int:
        """The edge that a photograph is first cut to by a model of labels: its data set's; of several, whose it is is
        not known, the largest that it has."""
        edges = [one.crop for one in self.data.sets]
        return max((edge for edge in edges if edge <= min(photo.pixels.shape[1:])), default=min(edges))

    @torch.inference_mode()
    def __call__(self, photo: Photo, want: Sequence[str], file: Path) -> dict[str, Photo]:
        """The wanted images of a photograph. Models of labels crop and resize it as in training; for the others it
        keeps its size. file: named in errors."""
        pixels = torch.from_numpy(photo.pixels)
        if self.data.sets:
            pixels = centre(fit(pixels, self.data, file, self.crop(photo)), self.data)
        elif pixels[0].numel() > LARGEST:
            found = " x ".join(map(str, reversed(pixels.shape[1:])))
            hint = f"shrink it; the model was trained on photographs of {self.data.load} x {self.data.load}"
            raise UserError(f"{found} pixels, more than {LARGEST / 1e6:.1f} million", hint, file)
        made, _ = self.system.synthesize(pixels[None, None].to(self.device), (self.have,), want)
        bits = photo.bits if self.data.channels == 1 else 8
        return {name: Photo(made[0, i].cpu().numpy(), bits) for i, name in enumerate(want)}

    def flags(self, photo: Photo) -> tuple[str, ...]:
        """Signs that a photograph is not what the model was trained on, in words."""
        edges, load = photo.pixels.shape[1:], self.data.load
        if self.data.sets or load / _OTHER_SCALE <= min(edges) <= max(edges) <= load * _OTHER_SCALE:
            return ()
        found = f"{edges[1]} x {edges[0]} pixels"
        return (
            f"{found}: the model knows photographs at the scale of {load} x {load}; resize it if the result is bad",
        )


def synthesize_photographs(
    model: PhotoSynthesizer,
    source: Path,
    out: Path,
    want: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    notify: Callable[[Done | tuple[str, UserError]], None] = lambda _: None,
) -> tuple[list[Done], list[tuple[str, UserError]]]:
    """`run_photograph` for an image, or for every image in a folder; one that fails is told, and the rest goes on."""
    wanted = model.check(want)
    files = find_photographs(source) if source.is_dir() else [source]
    if out.resolve() == source.resolve():
        raise UserError("the photographs are in this folder", hint="choose another -o", path=out)
    stems = Counter(file.stem for file in files)
    if double := [stem for stem, number in stems.items() if number > 1]:
        raise UserError(f"two photographs named {double[0]}", hint="rename one: both would make one file", path=source)
    jobs = ((file.name, partial(run_photograph, file, model, out, wanted, overwrite=overwrite)) for file in files)
    return run_each(jobs, notify)


def run_photograph(
    file: Path, model: PhotoSynthesizer, out: Path, want: Sequence[str] | None = None, *, overwrite: bool = False
) -> Done:
    """Write `out/<name>_<want>_synth.png`, 8 bits (or the 16 of a grey input), and a sidecar JSON, for each wanted.

    What this model has made of this file is skipped; what was made otherwise is a UserError unless `overwrite`. Same
    input, same machine, same bytes.
    """
    wanted = model.check(want)
    origin = {
        "have": model.have,
        "model": {"name": model.name, "recipe": model.config.recipe.name, "sha256": model.sha256},
        "input": {"file": file.name, "sha256": sha256(file)},
    }
    places = {name: out / f"{file.stem}_{slug(name)}_synth.png" for name in wanted}
    todo = [n for n in wanted if overwrite or not is_made(places[n], places[n].with_suffix(".json"), origin)]
    skipped = tuple(name for name in wanted if name not in todo)
    if not todo:
        return Done(file.name, out, (), skipped, ())
    photo = read(file, model.data.channels)
    flags = model.flags(photo)
    for name, made in model(photo, todo, file).items():
        sidecar = places[name].with_suffix(".json")
        sidecar.unlink(missing_ok=True)  # a kill between the two writes must not leave a sidecar of another image
        write_png(places[name], made, f"SYNTHETIC {name} by polycontrast")
        write_json(sidecar, {"synthetic": True, "want": name, **origin, **_facts(model, photo), "flags": list(flags)})
    return Done(file.name, out, tuple(todo), skipped, flags)


def _facts(model: PhotoSynthesizer, photo: Photo) -> dict[str, Any]:
    data = model.data
    return {
        "polycontrast": polycontrast.__version__,
        "size": f"cropped to {model.crop(photo)}, resized to {data.load}, cut to {data.size}"
        if data.sets
        else "the photograph's own",
        "device": str(model.device),
        "seed": model.config.recipe.train.seed,
    }
