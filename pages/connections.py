"""Connections: whether the links to the accounting systems work."""

from synchist.ui import connections_page

connections_page.show()
