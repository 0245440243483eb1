"""The invariants I1 to I7 and their verification; start at `verify`."""
