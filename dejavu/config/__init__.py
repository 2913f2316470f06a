"""The typed params: the one source of defaults, validation, JSON schema and reference.

A study file is complete: it is read as it stands and never merged over another. Nothing here
imports torch, so that planning a workflow stays quick.
"""

from dejavu.config.base import Gamma, Section, TaskName
from dejavu.config.methods import (
    AttentionParams,
    CRMParams,
    CyclicParams,
    DejaVuParams,
    MethodParams,
    TextParams,
)
from dejavu.config.reading import load_params, parse_params
from dejavu.config.redactions import RedactionParams
from dejavu.config.study import (
    CostParams,
    DataParams,
    EvaluationParams,
    GapParams,
    NetworkParams,
    Params,
    ReportParams,
    RoomsParams,
    TextPairParams,
    TrainParams,
    gammas,
    needs_text_pair,
)

__all__ = [
    "AttentionParams",
    "CRMParams",
    "CostParams",
    "CyclicParams",
    "DataParams",
    "DejaVuParams",
    "EvaluationParams",
    "Gamma",
    "GapParams",
    "MethodParams",
    "NetworkParams",
    "Params",
    "RedactionParams",
    "ReportParams",
    "RoomsParams",
    "Section",
    "TaskName",
    "TextPairParams",
    "TextParams",
    "TrainParams",
    "gammas",
    "load_params",
    "needs_text_pair",
    "parse_params",
]
