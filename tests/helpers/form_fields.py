"""The fields of a form on a page, as a browser without JavaScript sends them."""

from html.parser import HTMLParser


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.select = ""
        self.area = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attributes}
        name = given.get("name", "")
        match tag:
            case "select":
                self.select = name
                self.values.setdefault(name, "")
            case "option" if "selected" in given:
                self.values[self.select] = given["value"]
            case "textarea":
                self.area = name
                self.values[name] = ""
            case "input" if name:
                self.read_input(name, given)

    def read_input(self, name: str, given: dict[str, str]) -> None:
        match given.get("type"):
            case "submit" | "file":
                return
            case "checkbox":
                if "checked" in given:
                    self.values[name] = "on"
            case _:
                self.values[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.area = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.values[self.area] += data.lstrip("\r\n")


def shown_fields(page: str, form_id: str = "event_form") -> dict[str, str]:
    """Return the values of the inputs of a form, and of its chosen options."""
    fields = _Fields()
    fields.feed(page[page.index(f'id="{form_id}"') :])
    return {name: value for name, value in fields.values.items() if "__prefix__" not in name}
