"""What is written: a channel's templates filled with alerts, within bounds whoever wrote them.

Templates are Jinja, of which only a part is taken: values, loops over them, conditions and a few filters; no calls, no
assignments, nothing that multiplies. Each operation is charged with the most that it can come to before it is carried
out (template_work.py): time and memory of a rendering are bounded whatever the template. Its output is cut off besides.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import ChainableUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from pipeline.channels import template_work as work

__all__ = ["LONGEST_OUTPUT", "MOST_ITEMS", "RenderError", "TemplateRefused", "check_template", "render"]

LONGEST_OUTPUT: Final = 64 * 1024
"""Characters of what a template comes to."""
LONGEST_VALUE: Final = 1000
MOST_ITEMS: Final = 100
"""Of a list or a mapping."""
MOST_NODES: Final = 2000
"""Parts of a template."""
DEEPEST_NODES: Final = 60
DEEPEST_LOOPS: Final = 2
MOST_FILTERS: Final = 3
"""One after the other: some of them make text longer."""
FILTERS: Final = frozenset(
    (
        "capitalize", "count", "d", "default", "e", "escape", "first", "float", "int", "items", "last", "length",
        "lower", "round", "sort", "string", "title", "tojson", "trim", "truncate", "upper", "urlencode",
    )
)  # fmt: skip
WITH_ARGUMENT: Final = frozenset(("d", "default", "round", "truncate"))
MOST_DIGITS: Final = 15
TESTS: Final = frozenset(
    (
        "defined", "eq", "equalto", "even", "ge", "gt", "in", "le", "lt", "ne", "none", "number", "odd", "string",
        "undefined",
    )
)  # fmt: skip
_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Name, nodes.Const, nodes.Tuple,
    nodes.List, nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.CondExpr, nodes.Compare, nodes.Operand,
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Div, nodes.FloorDiv,
    nodes.Concat, nodes.Keyword,
)  # fmt: skip
_COMPARING: Final = frozenset(("eq", "equalto", "ge", "gt", "in", "le", "lt", "ne"))
_LARGEST: Final = 2**63
"""Of a number in a template."""


class TemplateRefused(ValueError):  # noqa: N818  it says what it is
    """A template uses what templates may not."""


class RenderError(Exception):
    """A template could not be filled with these values."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja without globals, with the filters and tests that are allowed."""

    intercepted_binops = frozenset(("+", "-", "/", "//"))

    def __init__(self, *, is_html: bool) -> None:
        super().__init__(
            autoescape=is_html, undefined=ChainableUndefined, finalize=work.written, cache_size=0, optimized=False
        )
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS} | {
            "_concat": work.concat, "_counted": work.counted, "_each": work.each, "_filtered": work.filtered,
        }  # fmt: skip
        self.tests = {name: self.tests[name] for name in TESTS} | {
            "even": lambda value: _number(value) % 2 == 0, "odd": lambda value: _number(value) % 2 == 1,
        }  # fmt: skip

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return a sum, difference or quotient, charged before it is made."""
        work.add(context, left, right)
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what stands under a name: of mappings and of ``loop``; nothing else has attributes, so no methods."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return what stands in a mapping, a list or a text; undefined what does not."""
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, LoopContext) and isinstance(argument, str) and not argument.startswith("_"):
            found = getattr(obj, argument, None)
            return self.undefined(obj=obj, name=argument) if callable(found) else found
        known = (isinstance(obj, dict) and isinstance(argument, (str, int))) or (
            isinstance(obj, (list, tuple, str)) and isinstance(argument, int)
        )
        try:
            return obj[argument] if known else self.undefined(obj=obj, name=argument)
        except LookupError:
            return self.undefined(obj=obj, name=argument)


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError("even and odd need a number")
    return value


class _Metering(NodeTransformer):
    """Puts a charge before each operation of a tree."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  Jinja's name
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_concat")

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.node is None:  # of a filter block, which is not allowed
            return node
        return _filter(node.node, "_filtered", nodes.Const(node.name), *node.args)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _filter(node.expr, "_counted")
        for operand in node.ops:
            operand.expr = _filter(operand.expr, "_counted")
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.name in _COMPARING:
            node.node = _filter(node.node, "_counted")
            node.args = [_filter(each, "_counted") for each in node.args]
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        steps = 1 + sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filter(node.iter, "_each", nodes.Const(steps))
        return node


def _filter(node: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(arguments), [], None, None, lineno=node.lineno)


_ENVIRONMENTS: Final = {is_html: _Sandbox(is_html=is_html) for is_html in (False, True)}


def check_template(source: str, variables: Iterable[str] = ()) -> None:
    """Refuse a template that uses what it may not.

    Parameters
    ----------
    source
        The template.
    variables
        The names that there are; a template that uses another one is refused. None given: any name.

    Raises
    ------
    TemplateRefused
        With the line, what was found and what is allowed.
    """
    _check_names(_parsed(source), frozenset(variables))
    _compiled(source, is_html=False)


def render(source: str, values: Mapping[str, Any], *, is_html: bool = False) -> str:
    """Return a template filled with values, at most `LONGEST_OUTPUT` characters of it.

    Parameters
    ----------
    source
        The template.
    values
        Plain ones: text, numbers, lists and mappings. Long ones are cut.
    is_html
        Whether values are escaped for HTML.

    Raises
    ------
    TemplateRefused
        When it uses what it may not.
    RenderError
        When it does not go with these values.
    """
    template = _compiled(source, is_html=is_html)
    parts: list[str] = []
    length = 0
    try:
        for part in template.generate({**_bounded(values), work.METER: work.Meter()}):
            parts.append(part)
            length += len(part)
            if length >= LONGEST_OUTPUT:
                break
    except _FAILURES as error:
        raise RenderError(f"{type(error).__name__}: {str(error)[:200]}") from error
    return "".join(parts)[:LONGEST_OUTPUT]


_FAILURES: Final = (
    TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError,
    TimeoutError,
)  # fmt: skip
"""What Jinja's filters raise on values that they are not for."""


@lru_cache(maxsize=1000)
def _compiled(source: str, *, is_html: bool) -> Template:
    tree = _parsed(source)
    _Metering().visit(tree)
    environment = _ENVIRONMENTS[is_html]
    try:
        return Template.from_code(environment, environment.compile(tree), {})
    except TemplateSyntaxError as error:
        raise TemplateRefused(f"line {error.lineno}: {error.message}") from error


def _parsed(source: str) -> nodes.Template:
    try:
        tree = _ENVIRONMENTS[False].parse(source)
    except TemplateSyntaxError as error:
        raise TemplateRefused(f"line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise TemplateRefused("nested too deeply") from error
    except ValueError as error:
        raise TemplateRefused(f"has a number that is too large: {error}") from error
    if sum(1 for _ in _walk(tree)) > MOST_NODES:
        raise TemplateRefused(f"has more than {MOST_NODES} parts")
    return tree


def _walk(node: nodes.Node, depth: int = 0, loops: int = 0, filters: int = 0) -> Iterator[nodes.Node]:
    """Yield the nodes of a tree, each of them allowed."""
    loops += isinstance(node, nodes.For)
    filters += isinstance(node, nodes.Filter)
    _check_node(node)
    if depth > DEEPEST_NODES:
        raise TemplateRefused(f"line {node.lineno}: nested too deeply")
    if loops > DEEPEST_LOOPS:
        raise TemplateRefused(f"line {node.lineno}: at most {DEEPEST_LOOPS} loops may stand in each other")
    if filters > MOST_FILTERS:
        raise TemplateRefused(f"line {node.lineno}: at most {MOST_FILTERS} filters may follow each other")
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child, depth + 1, loops, filters)


def _check_node(node: nodes.Node) -> None:
    where = f"line {node.lineno}"
    if not isinstance(node, _NODES) or (isinstance(node, nodes.For) and node.recursive):
        raise TemplateRefused(f"{where}: {type(node).__name__.lower()} is not allowed in templates")
    if isinstance(node, nodes.Const) and isinstance(node.value, int) and node.value >= _LARGEST:
        raise TemplateRefused(f"{where}: numbers must be below {_LARGEST}")
    if isinstance(node, nodes.Filter):
        _check_filter(node, where)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise TemplateRefused(f"{where}: no test {node.name!r}; known: {', '.join(sorted(TESTS))}")
    name = node.attr if isinstance(node, nodes.Getattr) else node.name if isinstance(node, nodes.Name) else ""
    if name.startswith("_") or (isinstance(node, nodes.Name) and name in {"self", "super", "caller"}):
        raise TemplateRefused(f"{where}: {name!r} is not allowed in templates")


def _check_filter(node: nodes.Filter, where: str) -> None:
    if node.name not in FILTERS:
        raise TemplateRefused(f"{where}: no filter {node.name!r}; known: {', '.join(sorted(FILTERS))}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs or len(node.args) > (node.name in WITH_ARGUMENT):
        raise TemplateRefused(f"{where}: {node.name}: only {', '.join(sorted(WITH_ARGUMENT))} take an argument, one")
    if node.name == "round" and node.args:
        digits = node.args[0]
        if not isinstance(digits, nodes.Const) or digits.value not in range(MOST_DIGITS + 1):
            raise TemplateRefused(f"{where}: round: its argument must be a number from 0 to {MOST_DIGITS}")


def _check_names(tree: nodes.Template, variables: frozenset[str]) -> None:
    names = list(tree.find_all(nodes.Name))
    known = variables | {"loop"} | {name.name for name in names if name.ctx == "store"}
    for name in names if variables else ():
        if name.name not in known:
            raise TemplateRefused(f"line {name.lineno}: no value {name.name!r}; known: {', '.join(sorted(variables))}")


def _bounded(value: Any) -> Any:
    """Return a value with long texts, lists and mappings cut, and no number that is none."""
    if isinstance(value, Mapping):
        return {str(key)[:LONGEST_VALUE]: _bounded(each) for key, each in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, (list, tuple)):
        return [_bounded(each) for each in value[:MOST_ITEMS]]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    return str(value)[:LONGEST_VALUE]
