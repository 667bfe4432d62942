"""The least that answers GraphQL over HTTP: Starlette, graphql-core, and parsing remembered.

    python -m bench.bare_graphql PORT

What `fixed_cost` is held against. It knows no callers, no limits and no validation.
"""

import gc
import sys
from functools import lru_cache
from inspect import isawaitable

import uvicorn
from graphql import (
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    execute,
    parse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

SCHEMA = GraphQLSchema(
    GraphQLObjectType("Query", {"name": GraphQLField(GraphQLNonNull(GraphQLString))})
)
_parse = lru_cache(maxsize=1_000)(parse)


async def answer(request: Request) -> Response:
    """Answer one request."""
    asked = await request.json()
    result = execute(SCHEMA, _parse(asked["query"]), variable_values=asked.get("variables"))
    if isawaitable(result):
        result = await result
    return JSONResponse(result.formatted)


async def live(_: Request) -> Response:
    """Say that it answers."""
    return PlainTextResponse("alive")


def main() -> None:
    """Serve until the process is told to end."""
    application = Starlette(
        routes=[Route("/livez", live), Route("/graphql", answer, methods=["POST"])]
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    uvicorn.run(
        application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
