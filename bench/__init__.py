"""Measurements of Tickwheel, each beside its baseline from the same run."""
