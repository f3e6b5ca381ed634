from .cross_validation import cross_validate as cross_validate
from .robustness import evaluate_robustness as evaluate_robustness
