"""What a person types. Each command asks the server once or twice and writes down the answer."""
