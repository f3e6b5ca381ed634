from .local import Executor as Executor
from .local import LocalExecutor as LocalExecutor
from .local import Task as Task
from .ray import RayExecutor as RayExecutor
from .ray import ray_session as ray_session
