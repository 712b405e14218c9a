"""The commands of `keras-s2s`, one function each; `cli` puts them together.

`training` makes models, `translation` uses them, `export` hands them on; `searches` turns options
into a search, `models` loads what they name. What each option is stands in `options`. Nothing here
imports TensorFlow before all that can be checked without it has been.
"""
