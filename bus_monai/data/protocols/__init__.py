"""Data protocols: which cases train, validate and test; one file each, by group, deterministic."""

from bus_monai.data.protocols.registry import PROTOCOLS as PROTOCOLS
from bus_monai.data.protocols.registry import apply_protocol as apply_protocol
