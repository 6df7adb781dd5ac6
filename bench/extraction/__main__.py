"""`python -m bench.extraction` is `python bench/extraction/run.py`."""

from bench.extraction.run import main

main()
