"""The two committed models open in a fresh process, whichever module was imported first."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "saved_models"
# A module of every room, one that no other room imports where there is such a module.
QUICK = ["import keras"]
THOROUGH = [
    f"import keras_s2s.{module}"
    for module in (
        "translation.compact",
        *(
            "text.trainer",
            "optimization.losses",
            "layers.recurrent.cells",
            "layers.attention.heads",
        ),
        *("search.penalties.toolkits", "models.precision", "models.migration", "data.corpus"),
        *("evaluation.validation", "training.construction", "recipes.run", "cli.main"),
        *("system.checks", "export.parity.quality", "export.publication.export"),
    )
]
PROGRAM = """
{first}
import keras
from keras_s2s import load_translator
print(keras.saving.load_model(r"{folder}/tiny-dates/translator.keras")("the 3rd of May 2021"))
print(load_translator(r"{folder}/english-g2p")("attention"))
"""


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "first", [*QUICK, *(pytest.param(first, marks=pytest.mark.thorough) for first in THOROUGH)]
)
def test_committed_models_open_whichever_module_comes_first(first: str) -> None:
    program = PROGRAM.format(first=first, folder=FOLDER)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout.splitlines() == ["2021-05-03", "AH T EH N SH AH N"], run.stderr[-800:]
