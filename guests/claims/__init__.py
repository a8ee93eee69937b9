"""Claims on a phone: decisions about them, and proofs that settle them."""
