"""Audit: who did what, and when."""

from synchist.ui import audit_page

audit_page.show()
