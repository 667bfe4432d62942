"""The live feed: first what there is, then every change, none lost and none twice.

PostgreSQL's event table is the record; Redis only hints that there may be something to read. One
`hub.FeedHub` per API process turns new events into batches, each with the rows it concerns, and
hands them to the `feeds`; `watching` is what a subscription runs. `positions` says what a cursor
means; docs/decisions/0002 says why.
"""
