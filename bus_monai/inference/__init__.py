"""From an image file to its masks, measures and DICOM objects: one at a time, or as a batch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
