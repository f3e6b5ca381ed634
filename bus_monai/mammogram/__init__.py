"""The stages of the mammogram pipeline."""
