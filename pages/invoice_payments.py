"""Invoice payments: what synced, what did not, and why."""

from synchist.entities import INVOICE_PAYMENTS
from synchist.ui import entity_page

entity_page.show(INVOICE_PAYMENTS)
