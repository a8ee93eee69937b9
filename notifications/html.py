"""The styles of an email, put into its elements.

Gmail shows emails of other mailboxes without their `<style>`, and Outlook reads few selectors. So
each rule is copied into the `style` of the elements that it is for. The rules of `<style
data-css-inline="keep">` stay there as well: those for widths, and for dark mode.
"""

import css_inline

# The styles are in the templates. Nothing is loaded from a file or a server.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False)


def inline_styles(html: str) -> str:
    """Return a whole HTML document with its styles in its elements. Takes under 1 ms of CPU."""
    return _INLINER.inline(html)
