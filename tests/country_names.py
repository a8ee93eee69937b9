"""Write accounts/country_names.py from Unicode's CLDR, which Babel carries.

    python -m tests.country_names

The names are those of English and of Portuguese as it is spoken in Portugal.
"""

from pathlib import Path

import phonenumbers
from babel import Locale

from tests.helpers.generated import write_generated

MODULE = Path(__file__).resolve().parent.parent / "accounts" / "country_names.py"
# CLDR's short forms, which Babel leaves out, and the name that people look for.
USUAL_NAMES = {
    "CI": ("Côte d’Ivoire", "Costa do Marfim"),
    "HK": ("Hong Kong", "Hong Kong"),
    "MO": ("Macao", "Macau"),
    "SH": ("St. Helena", "Santa Helena"),
}
HEAD = '''"""Names of countries, from Unicode's CLDR (Unicode License v3).

`make countries` writes this module.
"""

# The English and the Portuguese name, by ISO 3166 code: each region that libphonenumber knows.
NAMES = {
'''


def names() -> dict[str, tuple[str, str]]:
    """Return the English and the Portuguese name of each country with phone numbers."""
    english, portuguese = Locale.parse("en").territories, Locale.parse("pt_PT").territories
    found = {}
    for code in sorted(phonenumbers.SUPPORTED_REGIONS):
        found[code] = USUAL_NAMES.get(code, (english[code], portuguese[code]))
    return found


def module() -> str:
    """Return what accounts/country_names.py has to be."""
    lines = []
    for code, (english, portuguese) in names().items():
        lines.append(f'    "{code}": ("{english}", "{portuguese}"),\n')
    return HEAD + "".join(lines) + "}\n"


if __name__ == "__main__":
    write_generated(MODULE, module().encode())
