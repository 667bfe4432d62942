"""The commands that talk to a server, as processes against a whole instance."""
