"""Mammograms: the stages from image to mass, mask and shape."""
