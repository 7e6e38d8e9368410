"""Synchist: accounting sync history for freight brokers and carriers."""

__version__ = "0.1.0"
