"""The rules: pure functions and values. No I/O, no async, no tables, no clock but `clock.py`."""
