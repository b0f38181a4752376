"""The one exception that means "the input is wrong": the command line prints its single line and exits with code 2."""


class UserError(Exception):
    """Bad input. The message is one line that names the file or field and the remedy."""
