"""A whole cluster in one process, by a seed: real services, real statements, simulated time.

Three workers (each of which also ticks) and an operator run the product's own loops and services
against a real PostgreSQL. What is not real is the edge: time stands still while anything happens
and jumps to the next timer when nothing does (`clock`); each exchange with PostgreSQL takes a time
drawn by the seed, and before and after each a process may crash or be stopped for longer than its
lease (`wire`); rings, ticks and hints through Redis are dropped, doubled and delayed (`messages`).

Between two exchanges with the outside nothing that a process does can be seen, so a crash there is
a crash at every await. At the end the faults heal, and the invariants are judged over what the
jobs did, what the tables say and the journal of every write.

    python -m tests.faults.simulation --seed 17       one seed again, with its story
    python -m tests.faults.simulation --seeds 10000   many
"""
