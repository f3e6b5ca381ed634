"""Audit of a data set: near-duplicates, faulty masks, text, calipers, color and margins."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
