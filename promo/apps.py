"""Configuration of the app: its system checks, and its pages that other apps link to."""

from django.apps import AppConfig

from snap.pages import register_event_pages, register_page


class PromoConfig(AppConfig):
    name = "promo"

    def ready(self) -> None:
        from promo import checks  # noqa: F401  (registers the system checks)
        from promo.steps import event_page_of

        register_event_pages(event_page_of)
        register_page("events", "promo:events")
        register_page("event", "promo:event")
        register_page("sign_in", "promo:phone")
        register_page("calendar", "promo:calendar")
        register_page("correct_email", "promo:email")
        register_page("sign_out", "sign_out")
        register_page("privacy", "privacy")
        register_page("welcome_link", "email_links:welcome")
        register_page("claim_link", "email_links:claim")
        register_page("sign_in_link", "email_links:sign_in")
        register_page("unsubscribe_link", "email_links:unsubscribe")
