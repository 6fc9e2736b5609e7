"""Markup that cannot be broken by what it carries: every text is escaped unless it is Markup, and Markup comes from `tag` alone.

The result is HTML and well-formed XML at once: no void element is left open, every attribute is quoted.
"""

from html import escape

VOID = frozenset({"meta", "br", "rect", "path", "line", "circle", "use"})  # written without a closing tag

TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # marks and overrides of direction


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int  # a plain str is text, to be escaped


def tag(name: str, /, *children: Content | None, **attributes: Content | float | None) -> Markup:
    """An element. `class_` is the attribute class, other underscores are hyphens; None leaves a child or an attribute out."""
    pairs = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None]
    opening = name + "".join(f' {key}="{escape(_shown(value))}"' for key, value in pairs)
    inner = joined(*children)
    return Markup(f"<{opening}/>" if name in VOID and not inner else f"<{opening}>{inner}</{name}>")


def joined(*children: Content | None) -> Markup:
    """Children one after the other, texts escaped."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(_printable(str(child)), quote=False) for child in children if child is not None)
    )


def _shown(value: Content | float) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return _printable(str(value))


def _printable(text: str) -> str:
    """Without what XML cannot hold and what turns the direction of reading: a symbol from a log may contain anything."""
    return "".join("\ufffd" if _is_unfit(character) else character for character in text)


def _is_unfit(character: str) -> bool:
    is_control = character < " " and character not in "\t\n"
    return is_control or "\ud800" <= character <= "\udfff" or character in "\ufffe\uffff" or character in TURNING
