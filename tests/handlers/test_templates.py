"""Templates: what they can say, and all the ways out of them that are closed.

Breaks that were tried: `_names` lets calls, arithmetic or statements through; `getitem` falls back
to Python attributes; `default` makes every name optional; `_spend` counts nothing.
"""

from typing import Any

import pytest

from app.handlers.templates import (
    Name,
    Rendering,
    TemplateFailed,
    TemplateInvalid,
    compile_template,
    secret_template,
)

VALUES: dict[str, Any] = {
    "parameters": {
        "day": "monday",
        "items": [{"id": 7}, {"id": 8}],
        "count": 3,
        "yes": True,
        "none": None,
        "nested": {"a b": "spaced", "keys": "not a method"},
        "braces": "{{ secrets.crm }}",
    },
    "run": {"id": "run_1", "attempt": 2},
    "endpoint": {"account": "acme"},
    "secrets": {"crm": "hunter22", "a-b/c": "dashed"},
}


def rendered(text: str) -> Any:
    return Rendering(VALUES).value(compile_template(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no template", "no template"),
        ("", ""),
        ("a\n", "a\n"),
        ("{{ parameters.day }}", "monday"),
        ("on {{ parameters.day }}!", "on monday!"),
        ("{{ parameters.count }}", 3),
        ("n={{ parameters.count }}", "n=3"),
        ("{{ parameters.yes }}", True),
        ("{{ parameters.yes }}/{{ parameters.none }}", "true/"),
        ("{{ parameters.items[1].id }}", 8),
        ("{{ parameters.items }}", [{"id": 7}, {"id": 8}]),
        ("x {{ parameters.items }}", 'x [{"id":7},{"id":8}]'),
        ('{{ parameters.nested["a b"] }}', "spaced"),
        ("{{ parameters.nested.keys }}", "not a method"),
        ("{{ run.id }}-{{ run.attempt }}", "run_1-2"),
        ("{{ endpoint.account | upper }}", "ACME"),
        ('{{ secrets["a-b/c"] }}', "dashed"),
        ("{{ parameters.missing | default('d') }}", "d"),
        ("{{ parameters.nested.missing | default(parameters.day) }}", "monday"),
        ("{{ parameters.none | default('d') }}", "d"),
        ("{{ 'y' if parameters.yes else 'n' }}", "y"),
        ("{{ 'n' if parameters.missing is defined else 'y' }}", "y"),
        ("{{ parameters.count > 2 and not parameters.none }}", True),
        ("{{ parameters.items | length }}", 2),
        ("{{ parameters.items | tojson }}", '[{"id":7},{"id":8}]'),
        ("{{ ' a/b ' | trim | urlencode }}", "a%2Fb"),
        # What is filled in is not read again.
        ("{{ parameters.braces }}", "{{ secrets.crm }}"),
    ],
)
def test_what_a_template_says(text: str, expected: Any) -> None:
    assert rendered(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ day }}",
        "{{ self }}",
        "{{ range(3) }}",
        "{{ cycler }}",
        "{{ lipsum }}",
        "{{ parameters.items() }}",
        "{{ parameters.day.upper() }}",
        "{{ 'a' * 1000000 }}",
        "{{ 2 ** 99999 }}",
        "{{ parameters.day ~ parameters.day }}",
        "{{ parameters.day + 'a' }}",
        "{{ '%s' % parameters.day }}",
        "{{ parameters.items[0:1] }}",
        "{{ parameters[parameters.day] }}",
        "{{ [1, 2] }}",
        "{{ {'a': 1} }}",
        "{{ parameters.day | attr('x') }}",
        "{{ parameters.day | replace('a', 'b') }}",
        "{{ parameters.day | upper('x') }}",
        "{{ parameters.day | default }}",
        "{{ parameters.day | default(d=1) }}",
        "{{ parameters.day is string }}",
        "{% for x in parameters.items %}{{ x }}{% endfor %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{% raw %}{{ x }}{% endraw %}{% if run %}{% endif %}",
        "{{ ''.__class__ }}",
        "{{ run.when }}",
        "{{ secrets }}",
        "{{ secrets.crm.more }}",
        "{{ secrets[0] }}",
        "{{ parameters.day",
        "{{ }}",
        "{{" + "(" * 500 + "run.id" + ")" * 500 + "}}",
        "{{ run.id" + " | tojson" * 5 + " }}",
        "{{ " + "not " * 2000 + "run.id }}",
    ],
)
def test_what_a_template_may_not_hold_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(TemplateInvalid):
        compile_template(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ parameters.missing }}",
        "{{ parameters.missing.deeper }}",
        "{{ parameters.day.missing }}",
        "{{ parameters.items[9] }}",
        "{{ parameters.items.id }}",
        "{{ parameters.__class__ }}",
        "{{ parameters.day.__class__.__mro__ }}",
        "{{ parameters.items.append }}",
        "{{ parameters['__init__'] }}",
        "{{ parameters.missing | upper }}",
        "{{ parameters.missing | length }}",
        "{{ parameters.count | length }}",
        "{{ parameters.day > 3 }}",
    ],
)
def test_what_is_not_there_fails_when_it_is_asked_for(text: str) -> None:
    with pytest.raises(TemplateFailed):
        rendered(text)


def test_the_names_of_a_template_are_known_without_running_it() -> None:
    template = compile_template(
        "{{ parameters.a.b }} {{ parameters.c | default(endpoint.d) }} "
        "{{ secrets['e-f'] if run.attempt > 1 else parameters.g }} {{ parameters.h | upper }}"
    )
    assert set(template.names) == {
        Name("parameters", "a", False),
        Name("parameters", "c", True),
        Name("endpoint", "d", False),
        Name("secrets", "e-f", True),
        Name("run", "attempt", True),
        Name("parameters", "g", True),
        Name("parameters", "h", False),
    }


def test_a_reference_to_a_secret_is_the_template_that_names_it() -> None:
    assert Rendering(VALUES).value(secret_template("a-b/c")) == "dashed"


def test_what_one_request_says_is_bounded() -> None:
    values = {"parameters": {"long": "x" * 60_000}}
    rendering = Rendering(values)
    template = compile_template("{{ parameters.long }}" * 20)
    with pytest.raises(TemplateFailed, match="larger than"):
        rendering.text(template)
    again = Rendering(values)
    with pytest.raises(TemplateFailed, match="larger than"):
        again.tree([compile_template("{{ parameters.long }}")] * 20)
