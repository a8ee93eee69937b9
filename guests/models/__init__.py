"""The models of guest lists."""

from guests.models.events import Appointment, Event
from guests.models.guests import Guest, RevokedQr
from guests.models.history import EventChange, StaffAction, StateChange
from guests.models.list_messages import (
    ListMessage,
    ListMessageChange,
    ListMessageRecipient,
    list_message_causes,
)
from guests.models.news import NEWS_KINDS, EventNews, news_cause, news_causes
from guests.models.night import NightCounts
from guests.models.pool import PooledQr
from guests.models.promoters import EventPromoter, Promoter, Team, TeamMember
from guests.models.requests import (
    ONE_PENDING_REQUEST,
    ONE_REQUEST_PER_KEY,
    DeadEntry,
    GuestRequest,
    parse_ticket_id,
)
from guests.models.validators import code_validator, validate_networks, validate_time_zone

__all__ = [
    "NEWS_KINDS",
    "ONE_PENDING_REQUEST",
    "ONE_REQUEST_PER_KEY",
    "Appointment",
    "DeadEntry",
    "Event",
    "EventChange",
    "EventNews",
    "EventPromoter",
    "Guest",
    "GuestRequest",
    "ListMessage",
    "ListMessageChange",
    "ListMessageRecipient",
    "NightCounts",
    "PooledQr",
    "Promoter",
    "RevokedQr",
    "StaffAction",
    "StateChange",
    "Team",
    "TeamMember",
    "code_validator",
    "list_message_causes",
    "news_cause",
    "news_causes",
    "parse_ticket_id",
    "validate_networks",
    "validate_time_zone",
]
