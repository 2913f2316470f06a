"""Typed params: the single source of defaults, validation, JSON schema and reference.

A study file is complete: it is never merged with another. Nothing here imports torch, so that
planning a workflow is fast.
"""

from dejavu.config.augmentation import AugmentationParams
from dejavu.config.base import Section
from dejavu.config.data import DataParams, RoomsParams
from dejavu.config.evaluation import EvaluationParams
from dejavu.config.methods import (
    AttentionParams,
    CRMParams,
    CyclicParams,
    DejaVuParams,
    MethodParams,
    TextParams,
    gammas,
    needs_text_pair,
)
from dejavu.config.networks import NetworkParams
from dejavu.config.reading import load_params, parse_params
from dejavu.config.redactions import RedactionParams
from dejavu.config.study import (
    CostParams,
    GapParams,
    Params,
    ReportParams,
    TextPairParams,
)
from dejavu.config.tasks import (
    DepthParams,
    Gamma,
    NormalsParams,
    SegmentationParams,
    TaskName,
)
from dejavu.config.training import TrainParams

__all__ = [
    "AttentionParams",
    "AugmentationParams",
    "CRMParams",
    "CostParams",
    "CyclicParams",
    "DataParams",
    "DejaVuParams",
    "DepthParams",
    "EvaluationParams",
    "Gamma",
    "GapParams",
    "MethodParams",
    "NetworkParams",
    "NormalsParams",
    "Params",
    "RedactionParams",
    "ReportParams",
    "RoomsParams",
    "Section",
    "SegmentationParams",
    "TaskName",
    "TextPairParams",
    "TextParams",
    "TrainParams",
    "gammas",
    "load_params",
    "needs_text_pair",
    "parse_params",
]
