"""Ignite trainers: adversarial and mutually supervised, resumable to the last bit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
