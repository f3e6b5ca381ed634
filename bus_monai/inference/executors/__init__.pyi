from .local import Engine as Engine
from .local import LocalEngine as LocalEngine
from .local import Task as Task
from .ray import RayEngine as RayEngine
from .ray import ray_session as ray_session
