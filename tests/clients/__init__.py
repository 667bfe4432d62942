"""GraphQL clients that others wrote, so that tests speak to Tickwheel as its users do."""
