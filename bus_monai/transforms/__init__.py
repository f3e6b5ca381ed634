"""Transforms of ultrasound: loading, speckle, contrast, crops, the look of scanners, saving."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
