"""`python -m synchist`."""

from synchist.cli import main

if __name__ == "__main__":
    main()
