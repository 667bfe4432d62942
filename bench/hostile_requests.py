"""What a stranger may send to keep a process busy: bodies of requests, each to be refused.

`size` makes one larger; the size that counts for `bench.hostile` is 1. Each text carries a number,
so that none is remembered from the time before.
"""

import json
from collections.abc import Callable

Body = Callable[[int, int], bytes]


def _documents(text: Callable[[int], str]) -> Body:
    return lambda size, number: json.dumps({"query": f"{text(size)} #{number}"}).encode()


def _variables(json_text: Callable[[int], str]) -> Body:
    query = "query($a: JSON) { job(id: $a) { id } }"
    return lambda size, number: (
        f'{{"query": "{query} #{number}", "variables": {{"a": {json_text(size)}}}}}'.encode()
    )


def _fragments(count: int, selection: Callable[[int], str], last: str = "__typename") -> str:
    steps = " ".join(f"fragment f{n} on Query {{ {selection(n)} }}" for n in range(count))
    return f"{{ ...f0 }} {steps} fragment f{count} on Query {{ {last} }}"


def _in_jobs(selection: str) -> str:
    return f"{{ jobs {{ nodes {{ {selection} }} }} }}"


HOSTILE: dict[str, Body] = {
    "fragments that double": _documents(
        lambda size: _fragments(180 * size, lambda n: f"...f{n + 1} ...f{n + 1}")
    ),
    "10,000 fragments": _documents(
        lambda size: _fragments(10_000 * size, lambda n: f"...f{n + 1}")
    ),
    "fragments in a circle": _documents(
        lambda size: _fragments(220 * size, lambda n: f"...f{(n + 1) % (220 * size)}")
    ),
    "10,000 aliases": _documents(
        lambda size: f"{{ {' '.join(f'a{n}:__typename' for n in range(10_000 * size))} }}"
    ),
    "600 aliases": _documents(
        lambda size: _in_jobs(" ".join(f"a{n}:id" for n in range(600 * size)))
    ),
    "10,000 directives": _documents(
        lambda size: f"{{ __typename {'@skip(if:false)' * 10_000 * size} }}"
    ),
    "900 directives": _documents(lambda size: f"{{ __typename {'@a ' * 900 * size} }}"),
    "the same field 950 times": _documents(lambda size: _in_jobs("id " * 950 * size)),
    "the same list 450 times": _documents(
        lambda size: f"{{ jobs {{ {'nodes{id}' * 450 * size} }} }}"
    ),
    "conflicting fields": _documents(
        lambda size: f"{{ jobs {{ {'nodes{x:id} nodes{x:key}' * 24 * size} }} }}"
    ),
    "conflicting arguments": _documents(
        lambda size: _in_jobs('schedules(first:1,after:"x"){nodes{id}}' * 130 * size)
    ),
    "conflicts between fragments": _documents(
        lambda size: (
            _in_jobs(" ".join(f"...f{n}" for n in range(120 * size)))
            + " ".join(
                f"fragment f{n} on Job {{ x:{'id' if n else 'key'} }}" for n in range(120 * size)
            )
        )
    ),
    "80 operations and their fragments": _documents(
        lambda size: (
            " ".join(f"query q{n} {{ ...f0 }}" for n in range(80 * size))
            + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(80 * size))
        )
    ),
    "unknown fields": _documents(
        lambda size: _in_jobs(" ".join(f"retri{n}" for n in range(900 * size)))
    ),
    "unknown types": _documents(
        lambda size: " ".join(f"fragment f{n} on Schedul{n} {{ id }}" for n in range(270 * size))
    ),
    "unused variables": _documents(
        lambda size: f"query({' '.join(f'$v{n}:Int' for n in range(480 * size))}) {{ __typename }}"
    ),
    "an input with 600 unknown fields": _documents(
        lambda size: (
            f"mutation {{ jobCreate(input:{{"
            f"{' '.join(f'k{n}:1' for n in range(600 * size))}}}) {{ job {{ id }} }} }}"
        )
    ),
    "an input nested 100,000 deep": _documents(
        lambda size: f"{{ job(id:{'[' * 100_000 * size}{']' * 100_000 * size}) {{ id }} }}"
    ),
    "a selection nested 400 deep": _documents(
        lambda size: f"{{ {'jobs { ' * 400 * size}{'}' * 400 * size} }}"
    ),
    "lists in lists in lists": _documents(
        lambda size: (
            "{ jobs(first:100) { nodes { schedules(first:100) { nodes { "
            "runs(first:100) { nodes { id } } } } } } }"
        )
    ),
    "introspection of itself": _documents(
        lambda size: (
            "{ __schema { types { fields { type { fields { type { fields { type { "
            "fields { name } } } } } } } } }"
        )
    ),
    "a text of 900,000 characters": _documents(
        lambda size: f'{{ job(id:"{"a" * 900_000 * size}") {{ id }} }}'
    ),
    "quotes that never end": _documents(lambda size: '"\\' * 45_000 * size),
    "a name of 90,000 characters": _documents(lambda size: f"{{ {'a' * 90_000 * size} }}"),
    "a number of 90,000 digits": _documents(
        lambda size: f"{{ jobs(first:{'1' * 90_000 * size}) {{ nodes {{ id }} }} }}"
    ),
    "90,000 commas": _documents(lambda size: f"{{ nothing {',' * 90_000 * size} }}"),
    "variables nested 100,000 deep": _variables(
        lambda size: "[" * 100_000 * size + "]" * 100_000 * size
    ),
    "variables nested 800 deep": _variables(lambda size: "[" * 800 * size + "]" * 800 * size),
    "300,000 values in the variables": _variables(
        lambda size: f"[{','.join(['[]'] * 300_000 * size)}]"
    ),
    "a body of 3 MB": _variables(lambda size: f'"{"a" * 3_000_000 * size}"'),
    "JSON nested 100,000 deep": lambda size, _: b"[" * 100_000 * size,
}
