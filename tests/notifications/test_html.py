"""The styles of emails are in their elements, for clients that drop `<style>`."""

import socket

from notifications.html import inline_styles

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<style>.big { font-size: 20px; color: #111111; } .late { color: #222222; }
.box p { margin: 0; }</style>
<style data-css-inline="keep">@media (max-width: 400px) { .big { color: red !important; } }
[data-ogsc] .big { color: blue !important; }</style></head>
<body>%s</body></html>"""


def test_rules_go_into_the_elements_and_the_last_one_counts() -> None:
    html = inline_styles(PAGE % '<div class="box"><p class="big late" style="top: 0">x</p></div>')
    start = html.index("<p ")
    paragraph = html[start : html.index(">", start)]
    for rule in ("font-size: 20px", "color: #222222", "margin: 0", "top: 0"):
        assert rule in paragraph
    assert "#111111" not in html
    assert ".box p" not in html


def test_rules_for_widths_and_dark_mode_stay() -> None:
    html = inline_styles(PAGE % "")
    assert html.count("<style") == 1
    assert "@media (max-width: 400px)" in html
    assert "[data-ogsc] .big" in html


def test_text_links_and_comments_for_outlook_stay_as_they_are() -> None:
    text = "Olá &amp; &lt;b&gt; {{ x }} %(name)s m0123456789abcdef7m 😀 \u202bשלום\u202c"
    link = '<a href="https://snap.example/?a=1&amp;b=m0123456789abcdef8m">x</a>'
    outlook = '<!--[if mso]><table><tr><td width="560"><![endif]-->'
    html = inline_styles(PAGE % f"{text}{outlook}{link}")
    assert text in html
    assert link in html
    assert outlook in html


def test_nothing_is_loaded_from_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.css"
        inline_styles(PAGE.replace("<style>", f'<link rel="stylesheet" href="{address}"><style>'))
        try:
            server.accept()
        except TimeoutError:
            return
    raise AssertionError("a style sheet was asked for")
