urlpatterns = []; app_name="promo"
