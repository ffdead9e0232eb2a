"""What a person typed or wrote cannot be used; the command line ends with code 2."""

from flyball_kit.errors import PermanentError


class InvalidInputError(PermanentError):
    """Names what was found, what would be valid and the next step."""

    kind = "invalid-input"
