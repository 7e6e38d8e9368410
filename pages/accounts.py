"""Accounts: who may sign in, and what each of them may do."""

from synchist.ui import accounts_page

accounts_page.show()
