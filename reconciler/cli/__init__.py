"""Parse, wire, print: the command line."""
