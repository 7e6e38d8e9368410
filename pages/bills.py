"""Bills: what synced, what did not, and why."""

from synchist.entities import BILLS
from synchist.ui import entity_page

entity_page.show(BILLS)
