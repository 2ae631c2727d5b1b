from .endpoint import Endpoint as Endpoint
from .endpoint import EndpointError as EndpointError
from .endpoint import Reply as Reply
from .endpoint import json_object as json_object
