"""The face: the client that people import and the command line."""
