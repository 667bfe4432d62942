"""The fields of Query, Mutation and Subscription, a module per area."""
