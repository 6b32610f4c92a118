"""Test the tests: change the package in small ways, and require that a test notices each change."""
