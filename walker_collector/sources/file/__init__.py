"""The source `file`: events of a file or stdin, one JSON object per line; `walker run` reads so."""
