"""Where metrics are kept: a file for each process of a host, so that one of them can show all.

Every module that makes a metric before Django is set up imports this package first.
"""

from snap.metering import files

files.install()
