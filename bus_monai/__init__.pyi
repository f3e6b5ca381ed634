from .inference.api import Result as Result
from .inference.api import segment as segment

__version__: str
