urlpatterns = []; app_name="guests"
