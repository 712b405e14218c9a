"""Facts about the machine that a result was measured on: processor, cores, memory, packages.

Reports and benchmarks record them beside their numbers.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
# The instructions that decide how fast matrix products in float32, bfloat16 and int8 are.
_INSTRUCTION_SETS = frozenset(
    {
        *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
        *("amx_tile", "amx_int8", "amx_bf16"),
        *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),  # of ARM
    }
)


def machine() -> dict[str, Any]:
    """What this process runs on, as a record to keep beside a measurement.

    Returns:
        `processor`, its name; `cores`, how many of them this process may use; `memory_gib`, None
        where it is unknown; `instruction_sets`, in one line; `system`, the operating system.
    """
    size = memory()
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": None if size is None else round(size / 2**30, 1),
        "instruction_sets": " ".join(instruction_sets()),
        "system": platform.platform(),
    }


def processor() -> str:
    """The name of the processor, such as 'AMD EPYC', or else of its architecture."""
    return _of_processor("model name") or platform.processor() or platform.machine()


def cores() -> int:
    """The number of cores that this process may use at a time.

    It is limited by the cores that the machine has, by those the process is bound to, and by the
    quota of its control group, as containers set it. A part of a core counts as a whole one.
    """
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    return min([bound, *(max(1, math.ceil(quota)) for quota in _quotas())])


def memory() -> int | None:
    """Bytes of memory that this process may use, or None on a system that does not tell.

    It is limited by what the machine has and by the limit of the control group.
    """
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return min([installed, *_memory_limits()])


def instruction_sets() -> list[str]:
    """The names, as Linux spells them, of the instruction sets that speed up matrix products."""
    flags = _of_processor("flags") or _of_processor("Features") or ""
    return sorted(_INSTRUCTION_SETS.intersection(flags.split()))


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """The versions of installed packages.

    Args:
        packages: names as the package index has them, such as 'tensorflow-text'.

    Returns:
        The version of each; None for a package that is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    numbers: dict[str, str | None] = {}
    for package in packages:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            numbers[package] = None
    return numbers


def _of_processor(field: str) -> str | None:
    """A field of the first processor that /proc/cpuinfo describes; only Linux has that file."""
    for line in _read(_PROC / "cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None


def _quotas() -> Iterator[float]:
    """How many cores' time the control groups of this process allow, where one sets a limit."""
    for group in _control_groups("cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        # Without a limit the quota is 'max', or -1 in the first version of control groups.
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _memory_limits() -> Iterator[int]:
    """The limits in bytes that the control groups of this process set."""
    for group in _control_groups("memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if limit.isdecimal():  # not 'max'
            yield int(limit)


def _control_groups(controller: str) -> Iterator[Path]:
    """The folders of Linux' control groups, of both versions, from this process' to the root.

    In a container the path may be one that only its host has. The root is then the container's.
    """
    for line in _read(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        group = root / path.lstrip("/")
        yield from (group, *(parent for parent in group.parents if parent.is_relative_to(root)))


def _read(file: Path) -> str:
    """The text of a file of the system, empty if there is none or it is closed to this process."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
