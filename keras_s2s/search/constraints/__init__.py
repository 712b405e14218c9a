"""Constraints: the tokens and phrases that a search may, must, must not or should not choose.

| file | holds |
|---|---|
| `candidates.py` | the few tokens that each hypothesis may be continued with |
| `controls.py` | repetition penalty, no repeated n-grams, forbidden phrases |
| `required.py` | required phrases: how a beam is divided by how much of them is said |
| `phrases.py` | checks of prefixes and phrases, and their match with the tokens of a hypothesis |
"""
