"""Servers on loopback that play Resend, SendGrid, Mailgun and a mail server.

They are written from the providers' documentation, check each request field by field, count what
they accept, and fail in the ways that a test asks for.
"""
