from .views import card as card
from .views import finding as finding
from .views import tokens as tokens
