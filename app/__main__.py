"""`python -m app` is `tickwheel`."""

from app.cli import main

main()
