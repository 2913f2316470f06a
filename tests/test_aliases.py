"""Import paths of version 0.1 keep working."""

import importlib

import pytest

from dejavu._aliases import ALIASES


@pytest.mark.parametrize(("alias", "target"), ALIASES.items())
def test_an_alias_is_the_module_itself(alias: str, target: str) -> None:
    assert importlib.import_module(alias) is importlib.import_module(target)


def test_a_submodule_of_an_alias_is_no_copy() -> None:
    spatial = importlib.import_module("dejavu.redaction.spatial")
    assert spatial is importlib.import_module("dejavu.method.redaction.spatial")


def test_other_names_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"dejavu\.redactions"):
        importlib.import_module("dejavu.redactions")
