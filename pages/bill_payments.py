"""Bill payments: what synced, what did not, and why."""

from synchist.entities import BILL_PAYMENTS
from synchist.ui import entity_page

entity_page.show(BILL_PAYMENTS)
