"""Writes the tables of `settings.md`, from the fields that declare the settings.

Run it after a setting was added or changed: `python docs/settings_table.py`.
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
    """The page with the tables as the settings are declared now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables()}{END}{after}"


def tables() -> str:
    """A table for each panel of the command's help, with a row for each setting."""
    # The fields of a panel need not stand together.
    panels = list(dict.fromkeys(each.panel for each in declared(TrainingSettings).values()))
    settings = sorted(
        declared(TrainingSettings).values(), key=lambda each: panels.index(each.panel)
    )
    lines = []
    for panel, members in groupby(settings, key=lambda each: each.panel):
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
