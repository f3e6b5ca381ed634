from .catalog import PublishedSet as PublishedSet
from .catalog import find_set as find_set
from .catalog import recognize as recognize
from .own_images import list_labels as list_labels
