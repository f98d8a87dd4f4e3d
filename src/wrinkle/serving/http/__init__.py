"""The HTTP service: pictures in, ages out. Needs the extra `serve`."""
