"""The machine itself: clock, open files, disk, folders, memory, GPU."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from cli.checkup.finding import Finding, Verdict
from routing import describe_bytes

_FILES_FEW, _FILES_ENOUGH = 1024, 4096
"""Open files: a session takes about three descriptors, and a node has up to a few hundred of them."""
_DISK_LEAST = 5 * 2**30
"""Bytes free: less than that holds few models' blocks."""
_MEMORY_SHARE = 0.5
"""Of the free memory: what a node takes that is not told."""
_UNSYNCHRONISED = 0x40
_STATUS_AT, _TIMEX_BYTES = 40, 256
"""Where the kernel writes the status in its answer to adjtimex, on 64-bit machines, and room for that answer."""
_NO_LIMIT = 2**62
"""Control groups of version 1 write about this much for none."""


def clock(status: int | None) -> Finding:
    """``status``: the kernel's about its clock, from clock_status()."""
    if status is None:
        return Finding("clock", Verdict.OK, "cannot tell; give --initial-peers to compare it with theirs")
    if status & _UNSYNCHRONISED:
        said = "nothing keeps it right, as far as the kernel knows; with more than 3 s off, no peer will have this node"
        return Finding("clock", Verdict.NOTE, said, "sudo timedatectl set-ntp true")
    return Finding("clock", Verdict.OK, "kept right by a time service")


def clock_status() -> int | None:
    """None where the system does not say."""
    answer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(answer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status: int = struct.unpack_from("=i", answer, _STATUS_AT)[0]
    return status


def open_files(soft: int) -> Finding:
    """``soft``: the limit that holds now."""
    if soft == resource.RLIM_INFINITY or soft >= _FILES_ENOUGH:
        return Finding("open files", Verdict.OK, "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft:,}")
    verdict = Verdict.WRONG if soft < _FILES_FEW else Verdict.NOTE
    said = f"at most {soft:,}: about {max(0, soft - 100) // 3} sessions at once"
    return Finding("open files", verdict, said, "ulimit -n 65536    (in a systemd unit: LimitNOFILE=65536)")


def open_files_limit() -> int:
    """The limit that holds for this process and those it starts."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def disk(folder: Path, free: int) -> Finding:
    """``folder``: where downloaded models are kept; ``free``: bytes there."""
    said = f"{describe_bytes(free)} free at {folder}, where models are kept"
    if free >= _DISK_LEAST:
        return Finding("disk", Verdict.OK, said)
    return Finding("disk", Verdict.WRONG, said, "free some space, or: export HF_HOME=/a/folder/on/a/larger/disk")


def free_bytes(folder: Path) -> int:
    """Of the file system on which ``folder`` is, or will be."""
    return shutil.disk_usage(_nearest(folder)).free


def writable(check: str, folder: Path, mend: str) -> Finding:
    """Whether files can be made in ``folder``, or it itself if it is not there; leaves nothing behind."""
    try:
        with TemporaryFile(dir=_nearest(folder)):
            return Finding(check, Verdict.OK, f"{folder} can be written")
    except OSError as error:
        return Finding(check, Verdict.WRONG, f"{folder} cannot be written: {error.strerror}", mend)


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def memory(available: int, group_room: int | None) -> Finding:
    """``available``: free on the machine; ``group_room``: what the control group leaves, None without a limit."""
    default = int(available * _MEMORY_SHARE)
    if group_room is not None and group_room < default:
        said = (
            f"the control group leaves {describe_bytes(max(0, group_room))}, and a node takes "
            f"{describe_bytes(default)} unless told otherwise: it would be killed"
        )
        return Finding("memory", Verdict.WRONG, said, f"swarm node --memory {max(1, group_room // 2 // 2**20)}MiB …")
    limit = "" if group_room is None else f", {describe_bytes(group_room)} left by the control group"
    said = f"{describe_bytes(available)} free{limit}; a node takes {describe_bytes(default)} unless told otherwise"
    return Finding("memory", Verdict.OK, said)


def available_memory() -> int:
    """Bytes that can be taken without swapping; where the system does not say, all."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def group_room(mounted: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes that the tightest control group above this process leaves; None if none has a limit."""
    rooms = [room for folder in _group_folders(mounted, own) if (room := _room(folder)) is not None]
    return min(rooms, default=None)


def _group_folders(mounted: Path, own: Path) -> Iterator[Path]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = mounted / controllers
            folder = top / path.lstrip("/")
            yield from (each for each in (folder, *folder.parents) if each.is_relative_to(top))


def _room(folder: Path) -> int | None:
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most = int((folder / limit).read_text())  # "max" is no number
            if most < _NO_LIMIT:
                return most - int((folder / used).read_text())
        except (OSError, ValueError):
            continue
    return None


def gpu() -> Finding:
    """What PyTorch can compute on, beside what is in the machine."""
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        named = ", ".join(f"{card.name} ({describe_bytes(card.total_memory)})" for card in cards)
        return Finding("GPU", Verdict.OK, f"{named}, PyTorch {torch.__version__}")
    built_for = torch.version.cuda
    there = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    return without_gpu(there, built_for, torch.__version__, torch.get_num_threads())


def without_gpu(there: bool, built_for: str | None, version: str, threads: int) -> Finding:
    """Where PyTorch sees none: is one ``there``? ``built_for``: the CUDA version that PyTorch was built for, if any."""
    if not there:
        return Finding("GPU", Verdict.OK, f"none; blocks run on the processor, {threads} threads, PyTorch {version}")
    if built_for is None:
        said = f"there is one, but PyTorch {version} is the build for processors only"
        return Finding("GPU", Verdict.WRONG, said, "pip install --force-reinstall --no-deps torch")
    said = f"there is one, but PyTorch {version} for CUDA {built_for} cannot use it: its driver may be too old"
    return Finding("GPU", Verdict.WRONG, said, "nvidia-smi    (it tells the driver's CUDA; renew the driver if lower)")
