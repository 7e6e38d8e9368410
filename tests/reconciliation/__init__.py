"""Reports exported from the accounting system, and what the product makes of them."""
