"""Files generated from the typed params: default study, JSON schema and reference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from dejavu.config import Params
from dejavu.config.parsing import MAX_BYTES, MAX_VALUES
from dejavu.config.scalars import write_yaml
from dejavu.runtime.strict_json import to_json

_WIDTH = 88

DEFAULT_STUDY: dict[str, Any] = {
    "study": "default",
    "tasks": ["segmentation", "depth", "normals"],
    "networks": {"fpn": {"architecture": "feature_pyramid", "width": 24}},
    "methods": {
        "baseline": {},
        "dejavu-spatial": {
            "dejavu": {
                "redaction": {"name": "random_blocks", "block": 8, "keep": 0.1},
                "gamma": {"segmentation": 0.3, "depth": 0.1, "normals": 0.05},
            }
        },
        "dejavu-spectral": {
            "dejavu": {
                "redaction": {"name": "high_pass", "cutoff": 0.2},
                "gamma": {"segmentation": 0.3, "depth": 0.1, "normals": 0.05},
            }
        },
    },
    "seeds": [0, 1, 2],
    "gap": {
        "candidates": [
            {"name": "random_blocks", "block": 16, "keep": 0.3},
            {"name": "checkerboard", "block": 16},
            {"name": "sparse_pixels", "keep": 0.02},
            {"name": "grid_sample", "stride": 8},
            {"name": "block_dct", "block": 8, "keep": 0.02},
            {"name": "low_pass", "cutoff": 0.03},
            {"name": "blank"},
            {"name": "identity"},
        ]
    },
}
"""The embedded study; all other fields have their defaults.

Its two methods use the spatial and the spectral redaction with the widest oracle gap on val,
averaged over the three tasks; nothing else was tuned.
"""

_HEADER = """\
# The embedded study: procedural rooms, on a CPU, in minutes.
# Generated from dejavu/config/generated.py by `make params`; copy it to start your own study
# (a study file is complete: it is never merged with this one).
"""

_VALUES = f"""
Snakemake reads YAML 1.1 and DVC YAML 1.2, to which `010` is 8 or 10, `1e-4` text or a number,
`yes` true or text. So a number is what JSON calls one, with a point and a sign where it has an
exponent (`1.0e-4`); what the two would read differently is refused with the form to write.
Nothing is converted: 6.0, true and '6' are no integers and 1 is no boolean, but an integer may
stand for any number. Every number is finite, whole numbers go up to 2^53. Keys are text. Tags,
directives and a key given twice are refused; anchors and `<<` work. A file has at most {
    MAX_BYTES // 1024
} KiB and {MAX_VALUES} values.
"""


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file, by its path from the repository's root."""
    return {
        Path("params/default.yaml"): _HEADER + render_params(Params.model_validate(DEFAULT_STUDY)),
        Path("params/schema.json"): to_json(Params.model_json_schema(), indent=1) + "\n",
        Path("docs/params.md"): render_reference(),
    }


def render_params(params: Params) -> str:
    """Render params as complete YAML, with field descriptions as comments."""
    return "".join(f"{line}\n" for line in _yaml_section(params, ""))


def _yaml_section(section: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from ("", f"# {_summary(type(value))}") if not indent else ()
            yield f"{indent}{name}:"
            yield from _yaml_section(value, indent + "  ")
        elif isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values()):
            yield from ("", f"# {field.description}")
            yield f"{indent}{name}:"
            for label, item in value.items():
                yield f"{indent}  {label}:"
                yield from _yaml_section(item, indent + "    ")
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            yield from (f"{indent}# {field.description}", f"{indent}{name}:")
            yield from (f"{indent}  - {_flow(item.model_dump())}" for item in value)
        else:
            entry = f"{indent}{name}: {_flow(value)}"
            comment = f"  # {field.description}" if field.description else ""
            fits = len(entry) + len(comment) <= _WIDTH
            yield from (entry + comment,) if fits else (f"{indent}#{comment[3:]}", entry)


def _flow(value: Any) -> str:
    text = write_yaml(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def render_reference() -> str:
    """Render the reference of all params as a Markdown page."""
    lines = [
        "# Params",
        "",
        "Generated from `dejavu/config/` by `make params`. A study file may have only these keys; "
        "a key without a default is required.",
        "",
        " ".join(_VALUES.split()),
    ]
    for section in dict.fromkeys(_sections(Params)):
        lines += ["", f"## {section.__name__}", "", _text(section), ""]
        if section.model_fields:
            lines += ["| key | default | meaning |", "| --- | --- | --- |"]
        for name, field in section.model_fields.items():
            default = (
                "required"
                if field.is_required()
                else _default(field.get_default(call_default_factory=True))
            )
            meaning = field.description or "see below"
            lines.append(f"| `{name}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _sections(annotation: Any, above: tuple[Any, ...] = ()) -> Iterator[type[BaseModel]]:
    """Yield the sections nested in a type, outermost first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in above:  # combinations of redactions hold redactions
            return
        yield annotation
        inside = [field.annotation for field in annotation.model_fields.values()]
    else:
        inside = list(get_args(annotation))
    for part in inside:
        yield from _sections(part, (*above, annotation))


def _default(value: Any) -> str:
    return f"`{type(value).__name__}`" if isinstance(value, BaseModel) else f"`{_flow(value)}`"


def _text(section: type[BaseModel]) -> str:
    return " ".join((section.__doc__ or "").split())


def _summary(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").splitlines()[0].rstrip(".")
