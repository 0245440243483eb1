"""What is never shipped: benchmarks, fault injection, and what they share with the tests."""
