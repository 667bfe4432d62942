"""The GraphQL edge, from the outside."""
