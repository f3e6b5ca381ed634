from .listing import find_sources as find_sources
from .listing import list_sources as list_sources
from .read import read_all_frames as read_all_frames
from .read import read_image as read_image
from .read import read_images as read_images
from .read import read_source as read_source
