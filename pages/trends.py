"""Trends: how syncing has gone, day by day."""

from synchist.ui import trends_page

trends_page.show()
