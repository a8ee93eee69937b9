"""The form of DKIM and DMARC records: `v=DMARC1; p=none`."""


def read_tags(record: str) -> dict[str, str]:
    """Return the values of a record's tags by name. Parts without a value are left out."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, is_tag, value = part.partition("=")
        if is_tag:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags
