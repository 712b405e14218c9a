"""Writes the tables of `settings.md` from the fields that declare the settings.

Run it after a setting has been added or changed: `python docs/settings_table.py`.
"""

from __future__ import annotations

import dataclasses
from itertools import groupby
from pathlib import Path

from keras_s2s.training.settings.declaration import Setting, declared
from keras_s2s.training.settings.settings import TrainingSettings

PAGE = Path(__file__).parent / "settings.md"
BEGIN, END = "<!-- tables: python docs/settings_table.py -->", "<!-- end of tables -->"


def page() -> str:
    """Returns the page, with its tables made from the declarations of the settings."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables()}{END}{after}"


def tables() -> str:
    """Returns a table for each panel of the help of `train`, with a row for each setting."""
    settings = declared(TrainingSettings).values()
    # The fields of a panel need not follow each other.
    panels = list(dict.fromkeys(setting.panel for setting in settings))
    by_panel = sorted(settings, key=lambda setting: panels.index(setting.panel))
    lines = []
    for panel, members in groupby(by_panel, key=lambda setting: setting.panel):
        lines += [f"\n### {panel}\n", "| setting | values | default | what it does |"]
        lines += ["| --- | --- | --- | --- |", *map(_row, members)]
    return "\n".join([*lines, "", ""])


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | {_values(setting)} | {_default(setting)} | {setting.help} |"


def _values(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"'{choice}'" for choice in setting.choices)
    if setting.is_path:
        return "file" if setting.is_file else "folder"
    if setting.type is bool:
        return "True, False"
    kind = "whole number" if setting.type is int else "number"
    return f"{kind}, {setting.range}"


def _default(setting: Setting) -> str:
    if setting.default is dataclasses.MISSING:
        return "must be given"
    if setting.default is None:
        return f"None: {setting.none}" if setting.none else "None"
    return repr(setting.default)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
