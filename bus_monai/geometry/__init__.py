"""Boxes and lesions: what lies where in an image."""
