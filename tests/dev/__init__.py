"""The embedded services and the supervisor, as real processes."""
