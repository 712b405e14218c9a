"""The version is written once, and the metadata and the public name both read it there."""

import tomllib
from pathlib import Path

import pytest

import keras_s2s
from keras_s2s.system import version

ROOT = Path(__file__).resolve().parents[2]


def test_packaging_reads_the_version_of_the_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = project["tool"]["setuptools"]
    attribute = settings["dynamic"]["version"]["attr"]
    assert project["project"]["dynamic"] == ["version"]
    expand = pytest.importorskip("setuptools.config.expand")
    read = expand.read_attr(attribute, settings["package-dir"], ROOT)
    assert read == version.__version__ == keras_s2s.__version__
