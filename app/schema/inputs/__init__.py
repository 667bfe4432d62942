"""The input types, and how they become what services and stores take."""
