"""What keeps requests and places while the database is away."""
