"""Unpacking what is wanted of a downloaded tar archive into one folder, and never anything anywhere else."""

from __future__ import annotations

import os
import secrets
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from mindleak.data.sources import Archive
from mindleak.errors import InputError

_MAX_EXTRA_BYTES = 1 << 20


def unpack(packed: Path, target: Path, wanted: Archive) -> Path:
    """Unpack the wanted files of ``packed`` into ``target``/``wanted.folder``; return that folder.

    It appears under its own name only when all its files are written and synced. Members that are not wanted are
    passed over, in one pass through the archive.

    Raises:
        InputError: damaged archive; a member whose name leads outside (absolute path, ``..``); a wanted member that
            is no plain file of the published size; one that is missing; the folder exists already.
        OSError: the disk refuses.
    """
    folder = target / wanted.folder
    check_free(folder)
    for left in target.glob(f".{folder.name}.*.part"):
        # Left by a process that was killed: the archive's lock admits one at a time, so nobody is unpacking there.
        if not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    temporary.mkdir()
    try:
        with tarfile.open(packed, "r:*") as tar:
            written = {name for member in tar if (name := _unpack_member(packed, tar, member, temporary, wanted))}
        missing = [file.name for file in wanted.files if file.name not in written]
        if missing:
            raise InputError(f"{packed} lacks {', '.join(missing)}; nothing was unpacked")
        os.rename(temporary, folder)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{packed} is a damaged archive ({reason}); nothing was unpacked") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def check_free(folder: Path) -> None:
    """Raise InputError where ``folder`` exists, which then is not whole but may be the user's."""
    if folder.exists():
        raise InputError(f"{folder} exists already and is incomplete; move or delete it first")


def _unpack_member(
    packed: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, wanted: Archive
) -> str | None:
    """Write ``member`` into ``folder`` if it is wanted; return its name there, else None."""
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",):
        raise InputError(f"{packed}: member '{member.name}' leads outside the archive's folder; nothing was unpacked")
    if len(parts) != 2 or parts[0] != wanted.folder:
        return None
    name = parts[1]
    sizes = {file.name: file.size for file in wanted.files}
    if name not in sizes and name not in wanted.extras:
        return None
    expected = sizes.get(name, min(member.size, _MAX_EXTRA_BYTES))
    if not member.isreg() or member.size != expected:
        raise InputError(
            f"{packed}: member '{member.name}' is not a plain file of {expected} bytes; nothing was unpacked"
        )
    content = tar.extractfile(member)
    assert content is not None  # Only plain files come here, and these have content.
    with content, (folder / name).open("wb") as stream:
        shutil.copyfileobj(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    return name
