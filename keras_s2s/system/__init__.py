"""Services of Python and the machine for the rest of the library. Nothing here knows about models.

Nothing heavy is imported here, so that light modules stay light.

- `checks`: Checks arguments, with one error message for each kind of argument.
- `files`: Writes files atomically.
- `machine`: Facts about the machine that a result was measured on.
- `allocation`: Lets a process keep the memory that it frees.
- `version`: The version of the library.
"""
