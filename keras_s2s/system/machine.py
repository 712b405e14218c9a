"""Facts about the machine that a result was measured on: processor, cores, memory, packages.

Reports and benchmarks record these facts beside their numbers.
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
        *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"),  # on ARM
    }
)


def machine() -> dict[str, Any]:
    """Returns a record of the machine to keep beside a measurement.

    Returns:
        The keys are `processor`, the name of the processor; `cores`, the number of cores that this
        process may use; `memory_gib`, the memory that it may use, or None if unknown;
        `instruction_sets`, the names of the instruction sets that speed up matrix products, in one
        line; and `system`, the operating system.
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
    """Returns the name of the processor, such as 'AMD EPYC', or else its architecture's name."""
    return _of_processor("model name") or platform.processor() or platform.machine()


def cores() -> int:
    """Returns the number of cores that this process may use at a time.

    The number is limited by the cores of the machine, by the cores that the process is bound to,
    and by the quota of its control group, which containers set. A part of a core counts as a whole
    one.
    """
    if hasattr(os, "sched_getaffinity"):
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count() or 1
    return min([bound, *(max(1, math.ceil(quota)) for quota in _quotas())])


def memory() -> int | None:
    """Returns the bytes of memory that this process may use, or None if the system does not tell.

    The number is limited by the memory of the machine and by the limit of the control group.
    """
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return min([installed, *_memory_limits()])


def instruction_sets() -> list[str]:
    """Returns the names, on Linux, of the instruction sets that speed up matrix products."""
    flags = _of_processor("flags") or _of_processor("Features") or ""
    return sorted(_INSTRUCTION_SETS.intersection(flags.split()))


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Returns the versions of installed packages.

    Args:
        packages: names as the package index has them, such as 'tensorflow-text'.

    Returns:
        The version of each package, or None if it is not installed.
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
    """Returns a field of the first processor in /proc/cpuinfo, a file that only Linux has."""
    for line in _read(_PROC / "cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return None


def _quotas() -> Iterator[float]:
    """Iterates over the limits that control groups of this process set, in cores."""
    for group in _control_groups("cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        if not quota:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        # If there is no limit, the quota is 'max', or -1 in the first version of control groups.
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _memory_limits() -> Iterator[int]:
    """Iterates over the limits that control groups of this process set, in bytes."""
    for group in _control_groups("memory"):
        limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if limit.isdecimal():  # not 'max'
            yield int(limit)


def _control_groups(controller: str) -> Iterator[Path]:
    """Iterates over the folders of Linux' control groups, from this process's group to the root.

    Both versions of control groups are read. In a container, a path may exist only on the host of
    the container. The root group of the container is then read in its place.
    """
    for line in _read(_PROC / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controller if controllers else _CGROUPS
        group = root / path.lstrip("/")
        yield from (group, *(parent for parent in group.parents if parent.is_relative_to(root)))


def _read(file: Path) -> str:
    """Returns the text of a file of the system, or no text if this process cannot read it."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
