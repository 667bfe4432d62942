"""The GraphQL edge: types, inputs, resolvers and transports.

Resolvers translate. A mutation parses its input, calls one service function and maps the result;
a query reads from the store. Neither holds a rule.
"""
