"""Overview: what is open in all four entities."""

from synchist.ui import overview_page

overview_page.show()
