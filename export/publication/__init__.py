"""Publication: an export as one transaction, from a translator to its published folder.

- `export`: Export as one call: a translator in, verified artefacts in their folders out.
- `places`: Where exports go, and what may not be overwritten there.
- `preconditions`: What must hold before an export does any work.
- `staging`: Folders that appear whole or not at all.
"""
