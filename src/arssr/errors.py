"""The one exception type whose message is written for the person at the keyboard."""


class ArSSRError(Exception):
    """A problem that is the user's to mend; the message says in one sentence what and how."""
