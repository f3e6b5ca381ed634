from .environment import label_environment as label_environment
from .environment import offered_models as offered_models
from .model_versions import ModelVersions as ModelVersions
