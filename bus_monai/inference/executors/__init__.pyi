from .base import Engine as Engine
from .base import Task as Task
from .local import LocalEngine as LocalEngine
from .ray import RayEngine as RayEngine
from .ray import ray_session as ray_session
