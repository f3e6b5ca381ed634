"""Names that MONAI Label 0.8.5 misses in newer packages; import this before ``monailabel``."""

from __future__ import annotations

import sys

import pydicom.uid

# pydicom-seg, which monailabel imports, looks there for what pydicom 3 keeps in pydicom.uid
sys.modules.setdefault("pydicom._storage_sopclass_uids", pydicom.uid)
