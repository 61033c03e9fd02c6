"""The processes of this machine: embedded database and broker, Celery workers, web server.

One supervisor per ``RBR_HOME`` owns them; `hold` keeps the named ones running while a command
needs them. Importing this package needs the standard library alone.
"""

from . import paths
from .client import Addresses, hold, status
from .errors import SetupError
from .paths import broker_url, database_url

__all__ = [
    "Addresses",
    "SetupError",
    "broker_url",
    "database_url",
    "hold",
    "paths",
    "status",
]
