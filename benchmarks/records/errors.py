"""The one error that a user's input may cause."""


class InputError(Exception):
    """Bad input, told in one sentence that names the thing, the reason and the remedy.

    Command lines print it and exit with code 2.
    """
