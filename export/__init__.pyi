"""The public names of keras_s2s.export, each once: `__init__.py` imports them on first use."""

from .errors import ExportError as ExportError
from .errors import ParityError as ParityError
from .parity.report import ParityReport as ParityReport
from .parity.verification import verify_export as verify_export
from .publication.export import ExportReport as ExportReport
from .publication.export import export_translator as export_translator
from .specs.spec import GraphSpec as GraphSpec
