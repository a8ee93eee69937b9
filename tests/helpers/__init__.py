"""Functions that several tests use: servers, processes, visitors, browsers and checks."""
