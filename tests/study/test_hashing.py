"""Fields that are off count as fields that are not there, and no two results share a hash."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from dejavu.config import Params, TrainParams
from dejavu.study import hashing
from dejavu.study.hashing import plain_hash, without_off
from dejavu.study.run import Run
from tests.support.studies import tiny_params


def test_what_is_off_is_left_out_at_any_depth() -> None:
    fields = {
        "steps": 300,
        "rotate": 0.0,
        "flip": False,
        "crop": None,
        "crm": {"normalisation": "none", "width": 16, "inner": {"empty": []}},
        "seeds": [0, 1],
        "redactions": [{"name": "blank", "keep": None}],
    }
    assert without_off(fields) == {
        "steps": 300,
        "crm": {"width": 16},
        "seeds": [0, 1],
        "redactions": [{"name": "blank"}],
    }


def test_fields_and_code_decide() -> None:
    assert plain_hash({"a": 1, "b": None}, "x") == plain_hash({"a": 1}, "x")
    assert plain_hash({"a": 1}, "x") != plain_hash({"a": 2}, "x")
    assert plain_hash({"a": 1}, "x") != plain_hash({"a": 1}, "y")


def with_field(default: Any, name: str = "mixup") -> Params:
    """The tiny study with one more field of the training, or another default of one."""
    kind = create_model("OtherTrainParams", __base__=TrainParams, **{name: (Any, default)})
    params = tiny_params()
    train = kind.model_validate(params.train.model_dump(exclude={name}))
    return params.model_copy(update={"train": train})


def hash_of(params: Params) -> str:
    return Run(params, "depth", "fpn", "dejavu-spatial", 0).hash


@pytest.mark.parametrize("default", [None, False, 0, 0.0, "none", [], {}])
def test_a_new_field_that_is_off_by_default_changes_no_hash(default: Any) -> None:
    assert hash_of(with_field(default)) == hash_of(tiny_params())


@pytest.mark.parametrize("default", [True, 0.2, "linear", [1]])
def test_a_new_field_that_is_on_by_default_changes_the_hash(default: Any) -> None:
    assert hash_of(with_field(default)) != hash_of(tiny_params())


def test_a_changed_default_changes_the_hash() -> None:
    same = with_field(tiny_params().train.weight_decay, "weight_decay")
    assert hash_of(same) == hash_of(tiny_params())
    assert hash_of(with_field(0.02, "weight_decay")) != hash_of(tiny_params())


def sections(section: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if section in seen:
        return
    seen.add(section)
    yield section
    for field in section.model_fields.values():
        for part in parts_of(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sections(part, seen)


def parts_of(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from parts_of(part)


FIELDS = [
    (section, name, field)
    for section in sections(Params, set())
    for name, field in section.model_fields.items()
]


@pytest.mark.parametrize(
    ("section", "name", "field"), FIELDS, ids=[f"{s.__name__}.{n}" for s, n, _ in FIELDS]
)
def test_no_field_has_two_values_that_are_off(
    section: type[BaseModel], name: str, field: FieldInfo
) -> None:
    """Two that differ would have one hash."""
    # Any text may be the name of an encoder, of which "" and "none" are none.
    values = [None] if takes(field, "any text") else [*hashing._OFF]
    taken = [value for value in values if takes(field, value)]
    taken = [value for value in taken if not without_off({name: dumped(field, value)})]
    assert len(taken) <= 1, f"{section.__name__}.{name} may be {taken}"


def takes(field: FieldInfo, value: Any) -> bool:
    """Whether a field takes a value, by its type and bounds."""
    try:
        adapter(field).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def dumped(field: FieldInfo, value: Any) -> Any:
    """What a value becomes: of a section that is given empty, its defaults."""
    kind = adapter(field)
    return kind.dump_python(kind.validate_python(value, strict=True), mode="json")


def adapter(field: FieldInfo) -> TypeAdapter[Any]:
    kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(kind)
