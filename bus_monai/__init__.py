"""Breast tumour segmentation with MONAI: published models as bundles, and what is needed to trust and deploy them."""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
