"""MONAI Label for breast ultrasound: the app, its store and its page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
