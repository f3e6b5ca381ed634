"""What is wrong with a folder of images: duplicates, masks that do not fit, burnt-in marks."""

from bus_monai.data.audit.audit_folder import audit_folder

__all__ = ["audit_folder"]
