"""The one base class of every error that a user may see."""


class SynchistError(Exception):
    """An expected failure. Its text is one plain sentence that says what to do next.

    Subclasses stand beside the code that raises them. The pages (`ui/faults.py`), the routes
    (`web/replies.py`) and the command line show the sentence; any other exception is shown as an
    error id that leads to the log.
    """
