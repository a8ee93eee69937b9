"""What several tests use: servers, processes, people, browsers, mailboxes and checks."""
