from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from snap.database import DatabaseAwayError, asking
from snap.policies import PAGES, limited

from .sessions import account_of, end_session


@limited(write=PAGES)
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session, wherever its cookie was copied.

    Without the database only this browser is signed out, and the page says so.
    """
    try:
        with asking():
            end_session(request, account_of(request))
    except DatabaseAwayError:
        end_session(request, None)
        return render(request, "accounts/signed_out.html")
    return redirect("promo:events")
