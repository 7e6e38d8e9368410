"""The one place in which the pages show what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import streamlit as st
import structlog

from synchist.accounts import NotAllowed, NotSignedIn
from synchist.errors import SynchistError
from synchist.ui.wording import plain

log = structlog.get_logger()

_KEPT = "fault"


def show(error: Exception) -> bool:
    """Show an error as one sentence; what was not foreseen gets an id that finds it in the log.

    Returns True: Streamlit shall not show it once more.
    """
    st.error(_sentence(error), icon=":material/error:")
    if isinstance(error, NotSignedIn | NotAllowed):
        st.html(
            '<a href="/sign-in" target="_self" style="color: inherit">Go to the sign-in page</a>'
        )
    return True


def _sentence(error: Exception) -> str:
    if isinstance(error, SynchistError):
        return plain(str(error))
    identity = token_hex(4)
    log.error("unexpected error on a page", error_id=identity, exc_info=error)
    return (
        "Something went wrong, and it is not your doing. Reload the page; if it happens again,"
        f" tell support this error id: {identity}."
    )


@contextmanager
def kept(place: str = "") -> Iterator[None]:
    """Keep an error of a callback for the script run that follows it.

    A callback runs before the page is drawn, so that there is no place yet to show it at. Without
    `place` it is shown at the top of the page.
    """
    try:
        yield
    except Exception as error:
        st.session_state[_KEPT + place] = error


def show_kept(place: str = "") -> None:
    """Show what a callback kept, once."""
    error = st.session_state.pop(_KEPT + place, None)
    if error is not None:
        show(error)
