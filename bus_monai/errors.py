"""The error that a user can mend."""


class UserError(ValueError):
    """Input, a config or the machine is not as it must be, and the user can mend it.

    The message is one sentence that says what is wrong, where (file and key), and what to do. The command line
    prints it alone and ends with exit code 2; ``python -m monai.bundle`` prints it as the last line.

    Example:
        >>> raise UserError("'x.png' is truncated: copy the file again or remove it from the data set.")
        Traceback (most recent call last):
        ...
        bus_monai.errors.UserError: 'x.png' is truncated: copy the file again or remove it from the data set.
    """


def user_error(error: BaseException | None) -> UserError | None:
    """Return the user error among ``error`` and its causes, or ``None``."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error
