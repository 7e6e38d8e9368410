"""What the product's speed is measured by: `make bench`. How to read it: docs/benchmarks.md."""
