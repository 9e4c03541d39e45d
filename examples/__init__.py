"""Things to run and read; not installed with the package."""
