"""The specification, executed. Folders mirror `app/`; `tests/core` touches nothing outside."""
