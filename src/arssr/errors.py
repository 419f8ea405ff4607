"""The one exception type whose message is for the person at the keyboard; others on one line."""


class ArSSRError(Exception):
    """A problem that is the user's to mend; the message says in one sentence what and how."""


class NothingMatchesError(ArSSRError):
    """Of the images that there are to choose from, none is the one that was asked for."""


class ArSSRWarning(UserWarning):
    """What the command line warns of or notes, in a Python call; `strict` lets notes pass."""


def in_one_line(error: BaseException) -> str:
    """What went wrong: a sentence of ours as it is, anything else after its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ArSSRError) else f"{type(error).__name__}: {text}"
