"""Where in a model the time goes, told by LiteRT's own profiler."""
