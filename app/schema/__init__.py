"""The GraphQL edge: types, inputs, resolvers and transports.

Resolvers translate. A mutation parses its input, calls one service function and maps the result;
a query reads from the store. Neither holds a rule.
"""

# Whatever is imported first: a type that names an enumeration finds it registered, with its words.
from app.schema import enums as enums
