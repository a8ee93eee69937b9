"""Descriptions of events: their addresses are links, and nothing else in them is markup."""

import re

import pytest

from guests.templatetags.descriptions import render_description

LINK = re.compile(r'<a href="([^"]*)" rel="noopener nofollow ugc">([^<]*)</a>')


@pytest.mark.parametrize(
    ("text", "href", "shown"),
    [
        ("See https://example.com/a.", "https://example.com/a", "https://example.com/a"),
        ("(https://example.com/a)", "https://example.com/a", "https://example.com/a"),
        ("https://en.example/A_(b)", "https://en.example/A_(b)", "https://en.example/A_(b)"),
        ("[map](http://example.com/x)!", "http://example.com/x", "http://example.com/x"),
        ("HTTPS://Example.COM/Path?", "https://example.com/Path", "HTTPS://Example.COM/Path"),
        ("www.example.com, then", "https://www.example.com", "www.example.com"),
        ("em Instagram.com/snap.", "https://instagram.com/snap", "Instagram.com/snap"),
        ("(maps.example.com/x)", "https://maps.example.com/x", "maps.example.com/x"),
        ("https://example.com:8443/x…", "https://example.com:8443/x", "https://example.com:8443/x"),
        (
            "https://a.example/?q=1&r=2",
            "https://a.example/?q=1&amp;r=2",
            "https://a.example/?q=1&amp;r=2",
        ),
        ("«https://example.com/»", "https://example.com/", "https://example.com/"),
        ("https://example.com/\u202egpj", "https://example.com/", "https://example.com/"),
        ("https://café.example/", "https://xn--caf-dma.example/", "https://café.example/"),
        ("https://faß.example", "https://xn--fa-hia.example", "https://xn--fa-hia.example"),
        # A Cyrillic letter that looks like an "a", a dotless "i", and a full-width letter.
        (
            "https://\u0430pple.example",
            "https://xn--pple-43d.example",
            "https://xn--pple-43d.example",
        ),
        ("https://\uff41pple.example", "https://apple.example", "https://apple.example"),
        ("https://example.com/ação", "https://example.com/ação", "https://example.com/ação"),
    ],
)
def test_an_address_becomes_a_link(text: str, href: str, shown: str) -> None:
    assert LINK.findall(render_description(text)) == [(href, shown)]


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com/",
        "ana@example.com",
        "mailto:ana@example.com",
        "https://",
        "https://localhost/",
        "https://example.com:99999999/",
        "https://[::1/",
        "https://google.com@evil.example/",
        "https://" + "a" * 80 + "é.example/",
        "www.",
        "example.com",
        "18.30/19.00",
        "e/ou",
        "javascript:example.com/x",
        "ana@example.com/x",
        "xhttps://example.com",
    ],
)
def test_other_text_stays_text(text: str) -> None:
    html = render_description(text)
    assert "<a" not in html
    assert text in html


def test_markup_is_escaped_inside_and_outside_of_links() -> None:
    html = render_description("<b>x</b> https://example.com/\"><script>alert(1)</script> ' &")
    assert "<b>" not in html
    assert "<script" not in html
    assert LINK.findall(html) == [("https://example.com/", "https://example.com/")]
    assert "&lt;b&gt;x&lt;/b&gt;" in html


def test_quotes_in_an_address_do_not_leave_the_attribute() -> None:
    html = render_description("https://example.com/'onmouseover='x")
    assert LINK.sub("", html) == "<p></p>"


def test_paragraphs_and_line_breaks_are_kept() -> None:
    html = render_description("one\ntwo\r\n\r\nthree\n\n\n\nfour")
    assert html == "<p>one<br>two</p>\n\n<p>three</p>\n\n<p>four</p>"


def test_several_links_and_the_text_between_them_are_kept() -> None:
    html = render_description("a https://one.example, b (www.two.example) c")
    assert [href for href, _ in LINK.findall(html)] == [
        "https://one.example",
        "https://www.two.example",
    ]
    assert LINK.sub("L", html) == "<p>a L, b (L) c</p>"
