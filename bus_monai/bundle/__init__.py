"""What a bundle is: its models, weights and settings, and how its configs are run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
