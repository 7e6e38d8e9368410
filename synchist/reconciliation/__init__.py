"""Tie-out: a report exported from the accounting system, line by line against the TMS.

`reading` makes a `Report` of a file, `matching` pairs its documents with records, `saved` keeps the
result and acts on it.
"""
