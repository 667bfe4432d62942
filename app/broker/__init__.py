"""Redis: a doorbell and a hint to look. It holds nothing that PostgreSQL cannot rebuild."""
