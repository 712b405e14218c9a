"""What the rest of the library asks of Python and the machine; nothing here knows about models.

`checks` says what arguments must be, `files` writes files atomically, `machine` tells what the
program runs on, `allocation` lets the process keep memory it frees, `version` holds the version.
Nothing heavy is imported here.
"""
