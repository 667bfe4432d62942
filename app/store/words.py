"""Search by the beginnings of words.

The embedded PostgreSQL has no trigram index, so it is full text in its plainest form: no stemming,
no stop words, each word of the search a prefix.
"""

import re
from typing import Any

from sqlalchemy import ColumnElement, func

_WORD = re.compile(r"\w+", re.UNICODE)
_MOST_WORDS = 10


def matches_words(search: str, *columns: Any) -> ColumnElement[bool] | None:
    """Return the condition that every word begins a word of the columns; None without words."""
    words = _WORD.findall(search)[:_MOST_WORDS]
    if not words:
        return None
    text = func.replace(func.concat_ws(" ", *columns), "_", " ")
    query = " & ".join(f"'{word}':*" for word in words for word in word.split("_") if word)
    return func.to_tsvector("simple", text).op("@@")(func.to_tsquery("simple", query))
