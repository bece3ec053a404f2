"""Instruments that can be traded, and the operator's choice of them.

Validation speaks to people (field and remedy); the database holds the same rules for everybody else.
"""

from markets.follow.revision import ConfigRevision
from markets.leases import ShardLease
from markets.models.checks import key_validator, validate_proxy, validate_rest_url, validate_ws_url
from markets.models.depth import DepthSettings
from markets.models.exchange import Exchange, Kind
from markets.models.fees import FeeSchedule
from markets.models.filters import ExitChoice, OpportunityFilter
from markets.models.gates import GateThresholds
from markets.models.identity import IdentityCase
from markets.models.instrument import Instrument, Symbol
from markets.models.legs import Leg, either_way, in_order
from markets.models.pairs import ExchangePair, PairKind, PinnedChart
from markets.models.syncs import CatalogueSync, WalletStatus, WalletSync

__all__ = [
    "CatalogueSync",
    "ConfigRevision",
    "DepthSettings",
    "Exchange",
    "ExchangePair",
    "ExitChoice",
    "FeeSchedule",
    "GateThresholds",
    "IdentityCase",
    "Instrument",
    "Kind",
    "Leg",
    "OpportunityFilter",
    "PairKind",
    "PinnedChart",
    "ShardLease",
    "Symbol",
    "WalletStatus",
    "WalletSync",
    "either_way",
    "in_order",
    "key_validator",
    "validate_proxy",
    "validate_rest_url",
    "validate_ws_url",
]
