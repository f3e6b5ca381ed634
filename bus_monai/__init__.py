"""Breast tumour segmentation with MONAI: published models as bundles, and what is needed to trust and deploy them."""

__version__ = "0.1.0"
