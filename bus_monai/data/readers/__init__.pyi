from .catalog import PublishedSet as PublishedSet
from .catalog import find_set as find_set
from .catalog import recognize as recognize
