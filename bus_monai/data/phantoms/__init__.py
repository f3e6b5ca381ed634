"""Generated images with known lesions, for tests and for a first run without data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
