from .mammogram import MammoPhantom as MammoPhantom
from .mammogram import make_mammo_phantom as make_mammo_phantom
from .mammogram import write_mammo_phantoms as write_mammo_phantoms
from .screen import Screen as Screen
from .screen import draw_screen as draw_screen
from .ultrasound import make_phantom as make_phantom
from .ultrasound import write_phantoms as write_phantoms
from .write import Phantom as Phantom
