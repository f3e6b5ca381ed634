from .densenet import DenseNetEncoder as DenseNetEncoder
from .efficientnet import EfficientNetEncoder as EfficientNetEncoder
from .efficientnet import EfficientNetLiteEncoder as EfficientNetLiteEncoder
from .resnet import ResNetEncoder as ResNetEncoder
from .weights import load_encoder_weights as load_encoder_weights
from .weights import start_encoders as start_encoders
from .weights import start_lite_encoder as start_lite_encoder
