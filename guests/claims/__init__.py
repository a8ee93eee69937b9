"""Claims on a phone: deciding them, and what a proof changes on the lists."""
