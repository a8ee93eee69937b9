from django.apps import AppConfig


class SnapConfig(AppConfig):
    name = "snap"
