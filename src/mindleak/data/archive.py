"""Unpacking a downloaded tar archive into one folder, and never anywhere else."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mindleak.errors import InputError


def unpack(archive: Path, target: Path, wanted: Sequence[str]) -> Path:
    """Unpack the one folder that ``archive`` holds into ``target``; return the new folder.

    It appears under its own name only when all its files are written and synced.

    Raises:
        InputError: damaged archive; a member that is not a plain file directly inside that one folder (link,
            device, absolute path, ``..``); a file of ``wanted`` is missing; the folder exists already.
    """
    try:
        with tarfile.open(archive, "r:*") as tar:
            members = [member for member in tar.getmembers() if not member.isdir()]
            top = _only_folder(archive, members)
            _check_wanted(archive, members, wanted)
            return _unpack_members(tar, members, target / top)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise InputError(f"{archive} is a damaged archive ({error}); nothing was unpacked") from error


def _only_folder(archive: Path, members: Sequence[tarfile.TarInfo]) -> str:
    tops = set()
    for member in members:
        parts = PurePosixPath(member.name.replace("\\", "/")).parts
        if not member.isreg() or len(parts) != 2 or ".." in parts or parts[0] == "/":
            raise InputError(
                f"{archive}: member '{member.name}' is not a plain file inside the archive's folder; "
                "nothing was unpacked"
            )
        tops.add(parts[0])
    if len(tops) != 1:
        raise InputError(f"{archive} holds {len(tops)} folders where one is expected; nothing was unpacked")
    return tops.pop()


def _check_wanted(archive: Path, members: Sequence[tarfile.TarInfo], wanted: Sequence[str]) -> None:
    held = {PurePosixPath(member.name).name for member in members}
    missing = [name for name in wanted if name not in held]
    if missing:
        raise InputError(f"{archive} lacks {', '.join(missing)}; nothing was unpacked")


def _unpack_members(tar: tarfile.TarFile, members: Sequence[tarfile.TarInfo], folder: Path) -> Path:
    if folder.exists():
        raise InputError(f"{folder} exists already and is incomplete; move or delete it first")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    temporary.mkdir()
    try:
        for member in members:
            content = tar.extractfile(member)
            assert content is not None  # plain files only, see _only_folder
            with content, (temporary / PurePosixPath(member.name).name).open("wb") as stream:
                shutil.copyfileobj(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
