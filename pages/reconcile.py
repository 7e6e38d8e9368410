"""Reconcile: a report from the accounting system, line by line against the TMS."""

from synchist.ui import reconcile_page

reconcile_page.show()
