"""Record: one record and everything that happened to it."""

from synchist.ui import record_view

record_view.show_page()
