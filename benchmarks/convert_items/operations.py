"""Operations of a calculation, as items of the task gsm8k name them."""

import ast

OPERATIONS = {
    ast.Add: "addition",
    ast.Sub: "subtraction",
    ast.Mult: "multiplication",
    ast.Div: "division",
}


def operations_of(calculations: list[str]) -> list[str]:
    """Returns the operations of calculations such as `12*(2+3)=60`, in the order of reckoning.

    Returns none where one of them is no such calculation.
    """
    found: list[str] = []
    for calculation in calculations:
        try:
            expression = ast.parse(calculation.partition("=")[0].strip(), mode="eval").body
            found += _reckoned(expression)
        except (SyntaxError, KeyError):
            return []
    return found


def _reckoned(node: ast.AST) -> list[str]:
    """Returns the operations below a node of an expression, operands first."""
    if isinstance(node, ast.BinOp):
        operands = [*_reckoned(node.left), *_reckoned(node.right)]
        return [*operands, OPERATIONS[type(node.op)]]
    return _reckoned(node.operand) if isinstance(node, ast.UnaryOp) else []
