"""The documentation site: pages written by hand, and pages made from the sources, put together in one tree and built by Zensical.

`python -m website` from docs/ (which is what `make docs` runs) makes `site/`. Leaves out publishing it: any host of plain files serves it.
"""
