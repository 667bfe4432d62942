"""Arguments that many fields share."""

from typing import Annotated

import strawberry

First = Annotated[
    int | None, strawberry.argument(description="How many from the front; at most 100.")
]
After = Annotated[
    str | None, strawberry.argument(description="Only what comes behind this cursor.")
]
Last = Annotated[int | None, strawberry.argument(description="How many from the end; at most 100.")]
Before = Annotated[
    str | None, strawberry.argument(description="Only what comes before this cursor.")
]
Search = Annotated[
    str | None,
    strawberry.argument(
        description="Beginnings of words in key, name, description and tags, at most 500 "
        "characters; the first ten words count."
    ),
]
