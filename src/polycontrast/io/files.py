"""Files, whole or absent: opening input, writing output beside its place and renaming it, hashes.

Every failure that a user can mend (no such file, disk full, folder that cannot be written) is a UserError.
"""

import errno
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from polycontrast.errors import UserError

_ELSEWHERE = "choose another output folder, or make this one writable"
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or choose another output folder",
    errno.EDQUOT: "your disk quota is used up: free some space or choose another output folder",
    errno.EFBIG: "the system's limit on the size of a file is reached: raise it (ulimit -f) or choose another disk",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOENT: _ELSEWHERE,
    errno.ENOTDIR: "a part of this path is a file, not a folder: choose another output folder",
    errno.EEXIST: "a part of this path is a file, not a folder: choose another output folder",
    errno.EISDIR: "this is a folder: give the name of a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def check_name(name: str, path: Path | None = None) -> None:
    """UserError for a name that is not UTF-8, which JSON is: Python knows it with surrogates for its strange bytes."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        told = name.encode(errors="backslashreplace").decode()
        hint = "rename it: sidecars and tables are in UTF-8, and could not name it"
        raise UserError(f"the name {told} is not in UTF-8", hint=hint, path=path) from error


def open_input(path: Path) -> BufferedReader:
    """A file opened for reading bytes; a UserError if it is absent, a folder, or may not be read."""
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError("no such file", hint="check the spelling of the path", path=path) from error
    except IsADirectoryError as error:
        raise UserError("expected a file, found a folder", hint="name the file itself", path=path) from error
    except PermissionError as error:
        raise UserError("the file may not be read", hint="ask its owner for permission", path=path) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder (made if absent); renames it to `path` when the block succeeds.

    The temporary name is hidden and ends like the final one, so that a writer which looks at the extension works.
    Whatever goes wrong inside, the temporary file is removed and `path` is as it was before. The block should do
    nothing but write: an OSError that tells of a full disk or a forbidden folder becomes a UserError naming `path`.
    """
    part = path.with_name(f".part-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("r+b") as file:
            os.fsync(file.fileno())  # else a power cut could leave a renamed but empty file
        part.replace(path)
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise UserError(f"cannot write: {error.strerror}", hint=_REMEDIES[error.errno], path=path) from error
    finally:
        with suppress(OSError):  # it is absent after success, and where it could not be made
            part.unlink()


def check_folder(folder: Path) -> None:
    """UserError if a folder cannot be written, or made where it is absent: told before hours of work, not after."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        hint = _REMEDIES.get(error.errno or 0, _ELSEWHERE)
        raise UserError(f"cannot write: {error.strerror}", hint=hint, path=folder) from error


def write_json(path: Path, obj: Any) -> None:
    """Writes indented JSON atomically; ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file; a UserError that says where it is not JSON."""
    with open_input(path) as file:
        try:
            return json.loads(file.read())
        except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
            raise UserError(f"not valid JSON: {error}", hint="mend the file or remove it", path=path) from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
