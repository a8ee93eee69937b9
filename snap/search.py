"""Search and order of names: without accents, capitals and kinds of apostrophe.

The SQL function `fold_text` (migration accounts 0009) returns the text that is compared.
"""

from typing import Any

from django.db.models import CharField, Func, JSONField, Lookup, Model, TextField, Value
from django.db.models.functions import Cast

# The names of model fields that hold names. Lists search and sort them by `fold_text`.
NAME_FIELDS = frozenset({"name", "first_name", "last_name", "title", "venue"})
# Trigram indexes find shorter words only at the start of a word.
MIN_INNER_LENGTH = 3


class Folded(Func):
    """The text without accents and capitals, with spaces for dashes and without apostrophes."""

    function = "fold_text"
    output_field = TextField()


@CharField.register_lookup
@TextField.register_lookup
class FoldedContains(Lookup):
    """`name__folded="joao"`: the folded text contains the folded word.

    A word of one or two letters must begin a word of the text.
    """

    lookup_name = "folded"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        text, params = self.process_lhs(compiler, connection)
        word = escape_pattern(str(self.rhs))
        if len(word) >= MIN_INNER_LENGTH:
            return f"fold_text({text}) LIKE fold_text(%s)", (*params, f"%{word}%")
        starts = f"(fold_text({text}) LIKE fold_text(%s) OR fold_text({text}) LIKE fold_text(%s))"
        return starts, (*params, f"{word}%", *params, f"% {word}%")


def escape_pattern(word: str) -> str:
    """Return a word in which LIKE takes each sign for itself."""
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def rank_by_name(model: type[Model], relation: str) -> Func:
    """Return the place that the related row of a foreign key has among all, in order of `name`.

    One query, so only for a related table that is small. Folding the name of each row of a list
    instead takes 3 s for a million rows.
    """
    related: Any = model._meta.get_field(relation).related_model
    ids = related.objects.order_by(Folded("name"), "pk").values_list("pk", flat=True)
    ranks = {str(pk): rank for rank, pk in enumerate(ids)}
    return Func(
        Value(ranks, output_field=JSONField()),
        Cast(f"{relation}_id", TextField()),
        template="(%(expressions)s)",
        arg_joiner=" -> ",
        output_field=JSONField(),
    )


def is_name(field: str) -> bool:
    """Return whether a field holds a name, also one of a related model: `promoter__name`."""
    return field.rpartition("__")[2] in NAME_FIELDS


def folds(field: str) -> str:
    """Return the lookup by which a list searches a field: `name` becomes `name__folded`."""
    if is_name(field):
        return f"{field}__folded"
    return field
