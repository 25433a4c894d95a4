"""The errors of the source documents, each run beside the right form; docs/make_errata.py makes a page of them.

An erratum is two functions: one that computes (its arguments can be made small, as the tests do) and one that turns the
result into a section of the page. No number on the page is typed in. Wrong update rules are rules like any other, run
by ``ol.Optimizer``. Training is in float64, so that the rounding of another machine does not reach the digits printed.
"""
