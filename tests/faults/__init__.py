"""Faults on purpose, and what must hold all the same.

`witness` is the truth from outside: what jobs have left in a file. `evidence` puts it beside the
tables, and `invariants` judges the two together. `cluster` starts real workers to be killed,
stopped and cut off; `simulation` runs the product's own loops by a seed, on a clock of its own.
A test marked as a row of the table of faults has a long form, which `make faults` runs;
`docs/reliability.md` tells of both.
"""
