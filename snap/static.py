from django.contrib.staticfiles.apps import StaticFilesConfig


class OurStaticFilesConfig(StaticFilesConfig):
    """Leaves out of what packages bring the megabytes that no page of ours asks for.

    They would be compressed at each start: 43 s of CPU instead of 6.
    """

    ignore_patterns = [
        *StaticFilesConfig.ignore_patterns,
        "*.js.map",
        "*/redoc/*",
        "rest_framework/*",
        "django_htmx/*",
        "flags/*",
        "*LICENSE*",
    ]
