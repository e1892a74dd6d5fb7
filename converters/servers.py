"""The processes in which models are converted, by what a model is."""

from converters.fork_server import ForkServer

SERVERS = {kind: ForkServer("converters.worker", kind) for kind in ("keras", "flatbuffer")}
