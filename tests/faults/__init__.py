"""Faults on purpose, and what must hold all the same.

`witness` is the truth from outside: what jobs have left in a file. `evidence` puts it beside the
tables, and `invariants` judges the two together. `cluster` starts real workers to be killed,
stopped and cut off. A test marked as a row of the table of faults has a long form (`--long`).
"""
