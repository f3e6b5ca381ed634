from .catalogue import PublishedSet as PublishedSet
from .catalogue import find_set as find_set
from .catalogue import recognise as recognise
