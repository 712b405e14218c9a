"""The version of the library, which the packaging metadata also takes from here."""

__version__ = "0.2.0"
