"""The use cases: one is one function and one transaction. They commit, then announce.

Services know nothing of GraphQL or arq; they return models and raise the errors of `app.core`.
"""
