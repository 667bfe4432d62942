"""Search by the beginnings of words.

The embedded PostgreSQL has no trigram index, so it is full text in its plainest form: no stemming,
no stop words, each word of the search a prefix. PostgreSQL splits both sides with one function
(`words_of`, in the migrations), so that no search is a syntax error and both agree on what a word
is.
"""

from typing import Any

from sqlalchemy import ColumnElement, func

from app.core.errors import LimitExceeded

LONGEST_SEARCH = 500
"""How many characters a search may have. Of its words the first ten count."""


def matches_words(search: str | None, words: Any) -> ColumnElement[bool] | None:
    """Return the condition that every word begins one of the words; None without words."""
    if search is None or not any(character.isalnum() for character in search):
        return None
    if len(search) > LONGEST_SEARCH:
        raise LimitExceeded(f"A search has at most {LONGEST_SEARCH} characters.", path=("search",))
    return words.op("@@")(func.words_query(search))  # type: ignore[no-any-return] # of a comparison
