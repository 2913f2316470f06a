"""What modules say about themselves, read from their source and not imported."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


@cache
def declarations(folder: str, name: str) -> dict[str, Any]:
    """Read the literal that each module of a folder assigns to a name at its top level.

    So params and plans know what can be loaded, and from which file, without importing torch.

    Args:
        folder: a folder of the package, such as ``networks``.
        name: the constant.

    Returns:
        The values by module, in alphabetical order; modules without the constant are left out.

    Raises:
        ValueError: a value is not a literal; the message names the file and the line.

    Example:
        >>> declarations("networks", "ARCHITECTURES")["mask2former"]["mask2former"]["encoder"]
        'tu-'
    """
    found = {}
    for path in sorted((_PACKAGE / folder).glob("*.py")):
        for statement in ast.parse(path.read_bytes()).body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=target)], value=ast.expr() as value)
                    | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
                ) if target == name:
                    found[path.stem] = _literal(value, path, name)
    return found


def _literal(value: ast.expr, path: Path, name: str) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise ValueError(
            f"{path}, line {value.lineno}: {name} is read without importing the module; write it "
            "as a literal"
        ) from None
