from tests.grafana.dashboard import PAGE, as_text

PAGE.write_text(as_text())
