"""What is tried many times over: races (T3), replies to COMMIT cut (T4), `kill -9` (T5).

The suite tries each a few times, `make soak` for as long as it takes; both call the same functions.
"""
