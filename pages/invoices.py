"""Invoices: what synced, what did not, and why."""

from synchist.entities import INVOICES
from synchist.ui import entity_page

entity_page.show(INVOICES)
