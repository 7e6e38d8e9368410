"""Close: what still blocks a month, signing it off, and what moved afterwards."""

from synchist.ui import close_page

close_page.show()
