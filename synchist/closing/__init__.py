"""The month-end close: what still blocks a month, signing it off, and what moved afterwards.

`state` says how a month stands, `signing` signs it off and reopens it, `changes` finds what moved
after a sign-off, `workbook` writes it all as an Excel file.
"""
