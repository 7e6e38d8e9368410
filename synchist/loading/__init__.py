"""Lists from elsewhere: records to load, and evidence of what is in the books."""
