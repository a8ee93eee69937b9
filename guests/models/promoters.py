"""Promoters, their teams, and the events for which they work."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from guests.models.events import Event
from guests.models.validators import CodeField, code_validator
from snap.text_fields import LineField


class Team(models.Model):
    """A group of promoters."""

    name = LineField(_("name"), max_length=80, unique=True)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        through="TeamMember",
        related_name="teams",
        verbose_name=_("members"),
    )

    class Meta:
        verbose_name = _("team")
        verbose_name_plural = _("teams")

    def __str__(self) -> str:
        return self.name


class TeamMember(models.Model):
    """An account that belongs to a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, verbose_name=_("team"))
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, verbose_name=_("account")
    )

    class Meta:
        verbose_name = _("team member")
        verbose_name_plural = _("team members")
        constraints = [
            # Its index also serves look-ups by (account, team).
            models.UniqueConstraint(fields=["account", "team"], name="guests_member_once_a_team"),
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.team}"


class Promoter(models.Model):
    """A person with a code that appears in promo links."""

    code = CodeField(_("code"), max_length=40, unique=True, validators=[code_validator])
    name = LineField(_("name"), max_length=80)
    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        verbose_name=_("account"),
    )

    class Meta:
        verbose_name = _("promoter")
        verbose_name_plural = _("promoters")

    def __str__(self) -> str:
        return self.name


class EventPromoter(models.Model):
    """The work of a promoter for an event, alone or for a team."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, verbose_name=_("event"))
    promoter = models.ForeignKey(Promoter, on_delete=models.CASCADE, verbose_name=_("promoter"))
    team = models.ForeignKey(
        Team, on_delete=models.CASCADE, null=True, blank=True, verbose_name=_("team")
    )

    class Meta:
        verbose_name = _("event promoter")
        verbose_name_plural = _("event promoters")
        constraints = [
            # Its index also serves look-ups by (event, promoter, team).
            models.UniqueConstraint(
                fields=["event", "promoter", "team"],
                nulls_distinct=False,
                name="guests_promoter_once_an_event",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.promoter} · {self.event}"
