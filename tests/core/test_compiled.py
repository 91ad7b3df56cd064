"""Kernels are compiled in one way, and keep the types that callers are checked against."""

import ast
from pathlib import Path

import pipeline
from pipeline.core.compiled import compiled, compiled_inline

ROOT = Path(pipeline.__file__).parent.parent


def _imports(path: Path) -> set[str]:
    """Return the first names of all that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_kernels_are_compiled_through_one_module() -> None:
    modules = [path for room in ("pipeline", "schemas", "topics", "bench") for path in (ROOT / room).rglob("*.py")]
    users = {path.relative_to(ROOT).as_posix() for path in modules if _imports(path) & {"numba", "llvmlite"}}
    assert users == {f"pipeline/core/{name}.py" for name in ("compiled", "instructions", "warm")}


@compiled_inline
def _double(x: int) -> int:
    return 2 * x


@compiled
def _quadruple(x: int) -> int:
    return _double(_double(x))


def test_a_kernel_calls_an_inlined_one() -> None:
    assert _quadruple(3) == 12
