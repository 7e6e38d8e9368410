"""Causes: what has to be fixed, and which records wait for it."""

from synchist.ui import causes_page

causes_page.show()
