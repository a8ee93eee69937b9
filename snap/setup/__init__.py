"""System checks of what production lacks. `manage.py check_setup` runs them, and `check --deploy`.

Those that ask a server run only if a database is named, as Django's own checks of databases do.
"""

# The tags of these checks: of settings, disks and rows, and of the servers themselves.
SETUP = "setup"
SERVERS = "setup_servers"
