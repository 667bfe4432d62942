"""Lines of code per layer, without blank lines, comments and docstrings.

What is generated or built (the migrations, the explorer's bundle, locks) is not counted.
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from bench.figures import Row, print_table

_ROOT = Path(__file__).parents[1]
_PLACES = ("app", "tickwheel", "tests", "bench")
_NOT_OURS = ("migrations/versions", "node_modules")
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def main() -> None:
    """Print a line for each layer of the application, and for what surrounds it."""
    lines, files = Counter[str](), Counter[str]()
    for path in _sources():
        layer = _layer(path.relative_to(_ROOT))
        lines[layer] += _code_lines(path)
        files[layer] += 1
    ours: list[Row] = [[layer, files[layer], lines[layer]] for layer in sorted(lines)]
    print_table(["layer", "files", "lines"], ours)
    application = sum(count for layer, count in lines.items() if layer.startswith("app"))
    print(f"\n  {application:,} lines of application, {lines['tests']:,} of tests")


def _sources() -> list[Path]:
    found = [path for place in _PLACES for path in (_ROOT / place).rglob("*")]
    return [
        path
        for path in found
        if path.suffix in (".py", ".sql", ".mjs")
        and not any(part in path.as_posix() for part in _NOT_OURS)
    ]


def _layer(path: Path) -> str:
    if path.parts[0] != "app":
        return path.parts[0]
    return f"app/{path.parts[1]}" if len(path.parts) > 2 else "app/*.py"


def _code_lines(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return len(_python_lines(text))
    mark = "--" if path.suffix == ".sql" else ("//", "/*", " *", "*")
    return sum(
        bool(line.strip()) and not line.lstrip().startswith(mark) for line in text.split("\n")
    )


def _python_lines(text: str) -> set[int]:
    """Return the numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines - _docstring_lines(ast.parse(text))


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if first is not None and is_text and ast.get_docstring(node, clean=False) is not None:
                lines.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines
