from .outline import Click as Click
from .outline import fill_box as fill_box
from .outline import find_outline as find_outline
from .simulate_clicks import ClickedCase as ClickedCase
from .simulate_clicks import simulate_clicks as simulate_clicks
