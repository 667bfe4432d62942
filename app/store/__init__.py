"""All SQL lives here.

Simple reads and writes are SQLModel expressions, in a module per table. Statements whose locking
matters are plain files in `sql/`, named for what they do.
"""
