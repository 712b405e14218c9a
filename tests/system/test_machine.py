"""Facts about the machine are read from a made-up machine as well as from the real one."""

import os
import platform
from pathlib import Path

import numpy as np
import pytest

from keras_s2s.system import machine

CPUINFO = """\
processor\t: 0
model name\t: Abacus 3000: the fast one
flags\t\t: fpu avx2 sse2 avx512f amx_int8

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for `/`; the process may use 8 cores of this machine."""
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "sys")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    sizes = {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__, raising=False)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n", encoding="utf-8")


def test_processor_is_the_first_that_linux_names(made_up: Path) -> None:
    write(made_up, {"proc/cpuinfo": CPUINFO})
    assert machine.processor() == "Abacus 3000: the fast one"
    assert machine.instruction_sets() == ["amx_int8", "avx2", "avx512f"]


def test_arm_calls_its_flags_features(made_up: Path) -> None:
    write(made_up, {"proc/cpuinfo": "Features\t: fp asimd asimddp i8mm"})
    assert machine.instruction_sets() == ["asimd", "asimddp", "i8mm"]
    assert machine.processor() == (platform.processor() or platform.machine())


def test_without_proc_python_names_the_processor(made_up: Path) -> None:
    assert machine.processor() == (platform.processor() or platform.machine())
    assert machine.instruction_sets() == []
    assert machine.cores() == 8
    assert machine.memory() == 4 << 30


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/cpu.max": "150000 100000"}, 2),  # a part counts
        ({"proc/self/cgroup": "0::/", "sys/cpu.max": "1000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/cpu.max": "6400000 100000"}, 8),  # more than it has
        # The limit of a group holds for those below it.
        ({"proc/self/cgroup": "0::/a/b", "sys/a/cpu.max": "300000 100000"}, 3),
        # A path of the host, which the container does not see.
        ({"proc/self/cgroup": "0::/../x", "sys/cpu.max": "300000 100000"}, 3),
        # The first version of control groups.
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n2:memory:/",
                "sys/cpu/a/cpu.cfs_quota_us": "400000",
                "sys/cpu/a/cpu.cfs_period_us": "100000",
                "sys/cpu/cpu.cfs_quota_us": "-1",
                "sys/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_cores_respect_the_quota_of_a_container(
    made_up: Path, files: dict[str, str], cores: int
) -> None:
    write(made_up, files)
    assert machine.cores() == cores


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"proc/self/cgroup": "0::/", "sys/memory.max": "max"}, 4 << 30),
        ({"proc/self/cgroup": "0::/a", "sys/memory.max": "1073741824"}, 1 << 30),
        (
            {
                "proc/self/cgroup": "5:memory:/a\n0::/",
                "sys/memory/a/memory.limit_in_bytes": "2147483648",
            },
            2 << 30,
        ),
        (
            {  # what the first version says where there is no limit
                "proc/self/cgroup": "5:memory:/",
                "sys/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            4 << 30,
        ),
    ],
)
def test_memory_respects_the_limit_of_a_container(
    made_up: Path, files: dict[str, str], size: int
) -> None:
    write(made_up, files)
    assert machine.memory() == size


def test_record_of_this_machine() -> None:
    record = machine.machine()
    assert set(record) == {"processor", "cores", "memory_gib", "instruction_sets", "system"}
    assert record["processor"]
    assert 1 <= record["cores"] <= (os.cpu_count() or 1)
    assert record["memory_gib"] is None or record["memory_gib"] > 0


def test_record_where_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory() is None
    assert machine.machine()["memory_gib"] is None


def test_versions_of_packages() -> None:
    assert machine.versions(["numpy", "no-such-package"]) == {
        "numpy": np.__version__,
        "no-such-package": None,
    }
