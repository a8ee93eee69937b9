"""The template filter for email addresses."""

from django import template

from snap.mail_addresses import readable_address

register = template.Library()
register.filter(readable_address)
