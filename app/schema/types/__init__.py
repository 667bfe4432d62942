"""The output types, a module per entity."""
