"""Networks: (B, C, H, W) in [0, 1] to logits (B, K, H, W)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
