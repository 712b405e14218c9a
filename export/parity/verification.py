"""Verifies again everything that was proven about a folder when it was exported.

Verification needs no Keras model, because the folder holds the inputs and the outputs that Keras
gave. With the model, it also compares the outputs that Keras gives now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity.comparison import compare_on, compare_row
from keras_s2s.export.parity.expectation import SERVED_BY, Expectation, read_expected
from keras_s2s.export.parity.reference import BATCH_SIZE
from keras_s2s.export.parity.report import Comparison, ParityReport
from keras_s2s.export.runtimes.runtimes import Runtimes, runtimes_below
from keras_s2s.export.saved_model.version import replay_warmup
from keras_s2s.export.serving.registry import check_operators, check_server
from keras_s2s.translation.translator import Translator

Progress = Callable[[str], None]


def verify_export(
    folder: str | Path,
    *,
    translator: Translator | None = None,
    server: str | None = None,
    progress: Progress | None = None,
) -> ParityReport:
    """Verifies the folder that `export_translator` published.

    1. With a translator, the outputs that Keras gives now are compared with those it gave.
    2. The operators and attributes of every SavedModel are checked against a version of TensorFlow
       Serving, and the warm-up requests of every SavedModel are replayed.
    3. Every artefact runs in every runtime on the stored inputs, in batches of 1, 7 and 32 and of
       other shapes. Its outputs are compared with those that Keras gave.

    Args:
        folder: the exported folder.
        translator: the translator that was exported, to compute the outputs of Keras again; None
            to rely on the stored outputs.
        server: version of TensorFlow Serving to check against; the version that the folder was
            exported for when omitted.
        progress: a function that is called with a description of each next step.

    Returns:
        A report, whose `passed` tells whether everything is still equal.

    Raises:
        FileNotFoundError: If the folder holds no record of an export.
        ExportError: If the record is damaged.
        ValueError: If `server` is no known version of TensorFlow Serving.
    """
    folder = Path(folder)
    expected = read_expected(folder)
    if server is not None:
        check_server(server)
        expected = expected._replace(server=server)
    tell = progress or (lambda message: None)
    comparisons: list[Comparison] = []
    if translator is not None:
        tell("Asking Keras again")
        comparisons += _compare_keras(expected, translator)
    with runtimes_below(folder) as runtimes:
        comparisons += _check_saved_models(expected, runtimes, tell)
        for origin, task in expected.artefacts:
            tell(f"Comparing {origin}")
            comparisons += compare_on(expected.tasks[task], runtimes.artefact(origin, task))
    count = max((len(task.sources) for task in expected.tasks.values()), default=0)
    return ParityReport({"count": count, "given": count}, comparisons, {}, 0.0)


def _compare_keras(expected: Expectation, translator: Translator) -> Iterator[Comparison]:
    """Compares the outputs that Keras gives now with those that it gave."""
    for name, task in expected.tasks.items():
        comparison = Comparison(f"keras ({name})", BATCH_SIZE)
        for place, output in enumerate(task.recomputed(translator).expected):
            compare_row(task, comparison, place, output)
        yield comparison


def _check_saved_models(
    expected: Expectation, runtimes: Runtimes, tell: Progress
) -> Iterator[Comparison]:
    """Checks the operators and the warm-up requests of every SavedModel."""
    paths = {origin.path for origin, _ in expected.artefacts if origin.runtime in SERVED_BY}
    for path in sorted(paths):
        tell(f"Checking {path}")
        folder = runtimes.folder / path
        yield _checked(
            f"{path}: operators of TensorFlow Serving {expected.server}",
            partial(check_operators, folder, expected.server),
        )
        yield _checked(
            f"{path}: warm-up requests",
            partial(_warm_up, runtimes, path),
        )


def _warm_up(runtimes: Runtimes, path: str) -> None:
    replay_warmup(runtimes.session(path), runtimes.folder / path)


def _checked(name: str, check: Callable[[], object]) -> Comparison:
    """Runs a check that raises an error when it fails, and returns the result as a comparison."""
    comparison = Comparison(name, None)
    try:
        check()
    except (ExportError, OSError, ValueError) as error:
        comparison.objections.append(str(error))
    return comparison
