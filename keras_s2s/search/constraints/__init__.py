"""Constraints: what a search may say next, must not say, should rather not say, and has to say.

| file | holds |
|---|---|
| `candidates.py` | the few tokens that each hypothesis may be continued with |
| `controls.py` | repetition penalty, no repeated n-grams, forbidden phrases |
| `required.py` | required phrases: how a beam is divided by how much of them is said |
| `phrases.py` | checks of prefixes and phrases, and their match with the tokens of a hypothesis |
"""
