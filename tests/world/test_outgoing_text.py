"""Outgoing text: what models write, in every script, as each channel is sent it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from msgctl.channels.text.breaks import cluster_end
from msgctl.channels.text.composer import SMS, TELEGRAM, UNTOUCHED, WHATSAPP, WHATSAPP_TWILIO, Dialect, compose
from msgctl.channels.text.markup import read_html, read_legacy_markdown, read_markdown_v2, read_whatsapp
from msgctl.channels.text.splitter import ReplyTooLong, split, split_styled
from msgctl.channels.text.styled import Piece, Styled, TextPart, assemble
from msgctl.channels.text.units import code_points, utf8_bytes, utf16_units
from msgctl.domain.errors import FaultClass
from msgctl.domain.visible_text import clean_text, is_visible, repair_text

CHANNELS = {"whatsapp": WHATSAPP, "telegram": TELEGRAM, "sms": SMS}
STRANGE = "a é.。!\n\r\t*_~`#[]()<>&|\\1-•क्ष\u0301\u200d\u200b\ufe0f\u20e3👩🇧🇷👍🏽ที่각؟।🏴\U000e0067\U000e007f"
"""Characters whose neighbors matter."""
texts = st.text(st.sampled_from(STRANGE), max_size=120) | st.text(max_size=60)
measures = st.sampled_from([code_points, utf16_units, utf8_bytes])
HIDES = regex.compile(r"[|`]|\]\(")
"""Where Markdown moves or hides letters: tables, the language of code, links."""
BREAK_TEST = Path(__file__).with_name("GraphemeBreakTest.txt")


def sent(text: str, dialect: Dialect, **options: object) -> list[str]:
    """The texts of the parts."""
    return [part.text for part in compose(text, dialect, **options)]  # type: ignore[arg-type]


def official_cases() -> list[list[str]]:
    """The clusters of each official case; `✁` is no pictograph since Unicode 16."""
    rows = [row for row in BREAK_TEST.read_text("utf-8").splitlines() if row and not row.startswith("#")]
    cases = [
        ["".join(chr(int(code, 16)) for code in one.split("×")) for one in row.strip("÷ ").split("÷")]  # noqa: RUF001 - meant
        for row in rows
    ]
    return [case for case in cases if case != ["✁\u200d✁"]]


def test_the_official_cases_of_uax_29() -> None:
    """A window that cannot hold all of a text ends where Unicode ends its first clusters."""
    cases = official_cases()
    assert len(cases) > 600
    for clusters in cases:
        text, ends = "".join(clusters), [len("".join(clusters[: at + 1])) for at in range(len(clusters))]
        for end in ends[:-1]:
            assert cluster_end(text, 0, end) in ends, clusters
        assert regex.findall(r"\X", text) == clusters


@pytest.mark.parametrize(
    ("text", "limit", "measure", "parts"),
    [
        ("a🇧🇷🇧🇷", 4, utf16_units, ["a", "🇧🇷", "🇧🇷"]),
        ("a🏴󠁧󠁢󠁥󠁮󠁧󠁿b", 14, utf16_units, ["a", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "b"]),
        ("aa1️⃣", 4, len, ["aa", "1️⃣"]),
        ("ที่ที่", 4, len, ["ที่", "ที่"]),
        ("कक्षा", 4, len, ["क", "क्षा"]),
        ("בָּבָּ", 5, len, ["בָּ", "בָּ"]),
        ("aa\u1112\u1161\u11ab", 4, len, ["aa", "\u1112\u1161\u11ab"]),
        ("aa❤️‍🔥", 5, len, ["aa", "❤️‍🔥"]),
        ("aaaa👍🏽bb", 5, len, ["aaaa", "👍🏽bb"]),
        ("aae\u1ab0\u20d0", 4, len, ["aa", "e\u1ab0\u20d0"]),
        ("好。好好", 3, len, ["好。", "好好"]),
        ("好！」好好好", 5, len, ["好！」", "好好好"]),  # noqa: RUF001 - meant
        ("好好，好好好", 5, len, ["好好，", "好好好"]),  # noqa: RUF001 - meant
        ("好好好好、好", 4, len, ["好好好", "好、好"]),
        ("एक दो। तीन चार", 10, len, ["एक दो।", "तीन चार"]),
        ("نعم؟ ثلاثة أربعة", 12, len, ["نعم؟", "ثلاثة أربعة"]),
        ("ہاں۔ تین چار", 9, len, ["ہاں۔", "تین چار"]),  # noqa: RUF001 - meant
        ("ጤና። ሰላም ነው", 9, len, ["ጤና።", "ሰላም ነው"]),
        ('"Yes." Then no more', 14, len, ['"Yes."', "Then no more"]),
        ("Total: R$ 3.50 each", 14, len, ["Total: R$ 3.50", "each"]),
        ("12. um dois tres", 12, len, ["12. um dois", "tres"]),
        ("3\u00a0000 reais hoje", 8, len, ["3\u00a0000", "reais", "hoje"]),
        ("a\r\nb\r\n\r\nc\r\nd", 9, len, ["a\r\nb", "c\r\nd"]),
        ("ab \u0301cdefg", 5, len, ["ab", " \u0301cde", "fg"]),
        ("abc\ufeff\u200b", 4, len, ["abc\ufeff"]),
        ("a" + "\u0301" * 6, 4, len, ["a" + "\u0301" * 3, "\u0301" * 3]),
        ("a" + "\u200d" * 60, 4, len, ["a" + "\u200d" * 3]),
        ("👩\u200d" * 4, 5, len, ["👩\u200d👩\u200d", "👩\u200d👩\u200d"]),
    ],
)
def test_cuts_in_every_script(text: str, limit: int, measure: Callable[[str], int], parts: list[str]) -> None:
    """Clusters stay whole, pauses of the script are used, and only a cluster longer than a part is cut."""
    assert split(text, limit, measure) == parts


@given(texts, st.integers(4, 40), measures)
def test_nothing_visible_is_lost(text: str, limit: int, measure: Callable[[str], int]) -> None:
    """Every part fits and shows something; together they hold everything but white space and invisible parts."""
    parts = split(text, limit, measure)
    assert all(is_visible(part) and measure(part) <= limit for part in parts)
    seen = [one for one in text if is_visible(one)]
    assert [one for part in parts for one in part if is_visible(one)] == seen
    assert len(parts) <= 4 * -(-measure(text) // (limit - 3)) + 1


@given(texts, st.integers(12, 40))
def test_no_cluster_that_fits_is_torn(text: str, limit: int) -> None:
    """A cut comes only between the clusters of the text."""
    clusters = regex.findall(r"\X", text)
    if max(map(len, clusters), default=0) > limit:
        return
    whole = set(clusters)
    for part in split(text, limit):
        assert set(regex.findall(r"\X", part)) <= whole


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301" * 8200,
        "👩\u200d" * 9000,
        "🇧🇷" * 9000,
        "a\u200d" * 9000,
        "क्" * 9000,
    ],
    ids=["accents", "joiners", "flags", "letters with joiners", "conjuncts"],
)
def test_a_run_of_joiners_makes_few_parts(text: str) -> None:
    """A cluster without an end is cut at the limit, not character by character."""
    assert len(split(text, 4096, utf16_units)) <= 2 * -(-utf16_units(text) // 4096)


LONG = {
    "prose": "Tudo certo com o pedido, sim. ",
    "one word": "x",
    "accents": "\u0301",
    "joiners": "👩\u200d",
    "spaces": " " * 50 + "a",
    "invisible": "\u200b",
    "stops": ".",
    "stars": "*a ",
    "brackets": "[",
    "images": "![a](",
    "backticks": "`a``b",
    "tags": "<b>a</b>",
    "open tags": "<b",
    "entities": "&amp",
    "headings": "# a\n",
    "quotes": "> ",
    "tables": "|a|b|\n|-|-|\n|c|d|\n\n",
    "links": "[a](https://b.c) ",
    "underlines": "_a *b ",
    "fences": "```\na\n",
    "backslashes": "\\_ ",
}


@pytest.mark.parametrize("unit", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize("markup", ["", "HTML", "MarkdownV2", "WhatsApp"])
def test_a_long_text_takes_linear_time(unit: str, markup: str) -> None:
    """Eight times the text takes far less than the 64 times of quadratic work.

    It counts CPU time, takes the best of several interleaved rounds, and measures again while a busy machine
    spoils the figures: quadratic work never gets below the bound.
    """

    def cost(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        begun = time.process_time()
        compose(text, TELEGRAM, markup=markup, max_parts=None)
        return time.process_time() - begun

    small = large = float("inf")
    for _ in range(10):
        small, large = min(small, cost(10_000)), min(large, cost(80_000))
        if large < 24 * small:
            return
    pytest.fail(f"10,000 characters take {small:.4f} s, 80,000 take {large:.4f} s")


@pytest.mark.parametrize("unit", ["palavra ", "x", "a\u0301", "👩\u200d", "[a](b.c) **d** "])
def test_a_megabyte_is_measured_once(unit: str) -> None:
    """The splitter looks at each character a bounded number of times, whatever the size."""

    def looked_at(size: int) -> int:
        seen = 0

        def measure(text: str) -> int:
            nonlocal seen
            seen += len(text)
            return len(text)

        split((unit * size)[:size], 4096, measure)
        return seen

    assert looked_at(1_000_000) < 4.5 * looked_at(250_000)


def test_ten_parts_and_a_word() -> None:
    """A reply beyond `max_parts` is cut off with a word, or refused for good."""
    text = "Uma frase que não tem fim. " * 4000
    parts = sent(text, WHATSAPP_TWILIO)
    assert len(parts) == 10
    assert parts[-1].endswith("fim.\n\n[…]")
    assert all(utf16_units(part) <= 1600 for part in parts)
    assert sent(text, WHATSAPP_TWILIO, max_parts=2, closing="(continua)")[-1].endswith("(continua)")
    assert len(sent(text, WHATSAPP_TWILIO, max_parts=None)) > 60
    for markup, word in (
        ("MarkdownV2", "\\[…\\] a\\.\\_<"),
        ("Markdown", "\\[…] a.\\_<"),
        ("HTML", "[…] a._&lt;"),
    ):
        cut = sent(text, TELEGRAM, markup=markup, max_parts=1, closing="[…] a._<")
        assert cut[0].endswith(f"fim.\n\n{word}")
    with pytest.raises(ReplyTooLong, match="10 messages") as refused:
        compose(text, WHATSAPP_TWILIO, overflow="refuse")
    assert refused.value.fault is FaultClass.FINAL
    assert refused.value.code == "reply_too_long"


@pytest.mark.parametrize(
    ("markup", "word"),
    [("HTML", "[…] a._&lt;"), ("MarkdownV2", "\\[…\\] a\\.\\_<"), ("Markdown", "\\[…] a.\\_<"), ("", "[…] a._<")],
)
def test_the_closing_word_is_no_mark_up(markup: str, word: str) -> None:
    """It is written as the declared mark-up needs it, so that no part is refused because of it."""
    text = "Uma frase que não tem fim. " * 400
    (part,) = sent(text, TELEGRAM, markup=markup, max_parts=1, closing="[…] a._<")
    assert part.endswith(f"fim.\n\n{word}")


@pytest.mark.parametrize("overflow", ["cut", "refuse"])
def test_what_cannot_be_seen_is_no_part(overflow: str) -> None:
    """Invisible text behind the last part neither cuts nor refuses the reply."""
    assert sent("x" * 1600 + "\u200b" * 9999, SMS, max_parts=1, overflow=overflow) == ["x" * 1600]


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            " \n",
            "\u200b\u2060\ufeff",
            "\u2800",
            "\u3164",
            "\u115f\u1160\uffa0",
            "\u202e\u200f",
            "\x01\x02",
            "\0",
        ],
        *["\u034f", "\ufe0f", "\U000e0061\U000e007f", "\u00ad", "\u180e", "\u2028\u2029", "\u3000\u00a0"],
    ],
)
def test_nothing_to_see_is_not_sent(text: str) -> None:
    """Blank is what shows nothing, not what is white space."""
    assert not is_visible(text)
    assert [compose(text, one) for one in (*CHANNELS.values(), UNTOUCHED)] == [[]] * 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", "ab"),
        ("a\x1b[1mb", "a[1mb"),
        ("Tudo certo \ud83d", "Tudo certo \ufffd"),
        ("\ude00 \ud83d\ude00", "\ufffd 😀"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("\u200bOi", "\u200bOi"),
        ("\u0600", "\u0600"),
        ("\ufeffa\tb", "\ufeffa\tb"),
    ],
)
def test_no_provider_gets_what_it_refuses(text: str, shown: str) -> None:
    """Control characters and lone surrogates go; what makes up visible text stays."""
    assert clean_text(text) == shown
    assert repair_text(text).replace("\r\n", "\n").replace("\r", "\n").replace("\x1b", "") == shown
    assert is_visible(shown)


MARKDOWN = [
    ("**Prazo:** 3 dias", "*Prazo:* 3 dias", "Prazo: 3 dias"),
    (
        "### Itens ###\n- [site](https://e.com/a_b)",
        "*Itens*\n- site (https://e.com/a_b)",
        "Itens\n- site (https://e.com/a_b)",
    ),
    ("**a** ### b [s](https://e.com/a_b)", "*a* ### b s (https://e.com/a_b)", "a ### b s (https://e.com/a_b)"),
    ("***oi*** e *sim* e _não_", "_*oi*_ e _sim_ e _não_", "oi e sim e não"),
    ("~~R$ 10~~ **R$ 8**", "~R$ 10~ *R$ 8*", "~~R$ 10~~ R$ 8"),
    ("**dois\nlinhas**", "*dois*\n*linhas*", "dois\nlinhas"),
    ("# Título **forte**\n\ntexto", "*Título forte*\n\ntexto", "Título forte\n\ntexto"),
    ("use `pip *x*` já", "use `pip *x*` já", "use pip *x* já"),
    ("```python\nif a:\n    b\n```\nfim", "```if a:\n    b```\nfim", "if a:\n    b\nfim"),
    ("* um\n* **dois**\n  * três", "• um\n• *dois*\n  • três", "• um\n• dois\n  • três"),
    ("1. um\n2. **dois**\n   ```\n   x\n   ```", "1. um\n2. *dois*\n```x```", "1. um\n2. dois\nx"),
    ("> **nota**\n> fim", "> *nota*\n> fim", "> nota\n> fim"),
    ("**重点：**内容", "*重点：*内容", "重点：内容"),  # noqa: RUF001 - meant
    ("これは**東京**です", "これは*東京*です", "これは東京です"),
    ("| Item | Preço |\n|---|---|\n| Pão | R$ 1 |", "*Item: Preço*\nPão: R$ 1", "Item: Preço\nPão: R$ 1"),
    (
        "|A|B|C|\n|-|-|-|\n|1|**2**|3<br>4|\n|5||6|",
        "*1*\nB: *2*\nC: 3 / 4\n\n*5*\nC: 6",
        "1\nB: 2\nC: 3 / 4\n\n5\nC: 6",
    ),
    ("[a@b.c](mailto:a@b.c) [ligue](tel:+551)", "a@b.c ligue (+551)", "a@b.c ligue (+551)"),
    (
        "[https://e.com](https://e.com/) <https://e.com/a_b>",
        "https://e.com https://e.com/a_b",
        "https://e.com https://e.com/a_b",
    ),
    ("![foto](https://e.com/x.png)", "foto (https://e.com/x.png)", "foto (https://e.com/x.png)"),
    ("5 \\* 3 e snake\\_case", "5 * 3 e snake_case", "5 * 3 e snake_case"),
    ("- ### Parte\n- fim", "- *Parte*\n- fim", "- Parte\n- fim"),
    ("**a *b* c**", "*a _b_ c*", "a b c"),
    ("**Nota:**texto **S**im", "*Nota:*texto **S**im", "Nota:texto **S**im"),
]


@pytest.mark.parametrize(("text", "whatsapp", "plain"), MARKDOWN)
def test_the_markdown_of_models(text: str, whatsapp: str, plain: str) -> None:
    """Markdown becomes the channel's own mark-up, or plain words; the web and the API render it themselves."""
    assert sent(text, WHATSAPP) == [whatsapp]
    assert (
        sent(text, SMS) == sent(text, WHATSAPP, format="plain") == sent(text, TELEGRAM, format="plain") == [plain]
    )
    assert compose(text, UNTOUCHED) == compose(text, WHATSAPP, format="as-is") == [TextPart(text)]


@pytest.mark.parametrize(
    ("text", "shown", "entities"),
    [
        ("😀 **né**", "😀 né", [("bold", 3, 2, None, None)]),
        ("**a *b* c**", "a b c", [("bold", 0, 5, None, None), ("italic", 2, 1, None, None)]),
        (
            "[s **x**](https://e.com/_)",
            "s x",
            [("text_link", 0, 3, "https://e.com/_", None), ("bold", 2, 1, None, None)],
        ),
        ("`a` ~~b~~", "a b", [("code", 0, 1, None, None), ("strikethrough", 2, 1, None, None)]),
        ("```py\na < b\n```", "a < b", [("pre", 0, 5, None, "py")]),
        (
            "**a `b` c**",
            "a b c",
            [("bold", 0, 1, None, None), ("code", 2, 1, None, None), ("bold", 4, 1, None, None)],
        ),
        ("[`b`](https://e.com)", "b", [("text_link", 0, 1, "https://e.com", None)]),
        ("# T **u**", "T u", [("bold", 0, 3, None, None)]),
        ("*oi*", "oi", [("italic", 0, 2, None, None)]),
        ("[x](tel:1)", "x (1)", []),
    ],
)
def test_telegram_gets_entities(text: str, shown: str, entities: list[object]) -> None:
    """Styles go beside the text, in UTF-16 units, so that nothing needs escaping."""
    (part,) = compose(text, TELEGRAM)
    assert part.text == shown
    assert [(one.type, one.offset, one.length, one.url, one.language) for one in part.entities] == entities


NOT_MARKDOWN = [
    *["5 * 3 * 2", "5*3*2=30", "2**10 e 3**5", "x = a[i] * b[j] * c", "f(**kwargs) e g(**kw)", "(*.py)(*.md)"],
    *[
        "snake_case_name",
        "__init__.py e __main__",
        "https://x.com/a_b_c/_d_/*e*?f=__g__",
        "a_ _b",
        "_ _",
        "* *",
        "****",
    ],
    *["^_^ oi ^_^", "T_T >_< -_- *-*", ":* beijo :*", "¯\\_(ツ)_/¯", "~~~ oi", "oi~~~", "*_*"],
    *[
        "1. ",
        "1.",
        "#",
        "#promo #natal_2025",
        "# ",
        "> oi\n> tudo\n>> bem",
        "-- \nAna_Maria",
        "---",
        "* * *",
        "+ 5 reais",
    ],
    *[
        "C:\\_docs\\*x",
        "\\(x^2\\)",
        "f**k s**t",
        "cartão **** **** **** 1234",
        "l`eau d`un",
        "Preço* válido. *Consulte",
    ],
    *[
        "array[0](x) [sic](veja) [1]",
        "João <joao@x.com>",
        "<b>oi</b> &amp; AT&T &copy;",
        "a | b\nc | d",
        "[x]: nota",
    ],
    *[
        "    recuo\n\tcode x\n\n\n\nfim",
        "título\n====",
        "título\n---",
        "* Consulte as condições",
        "a\n  * b",
        "- [ ] x\n- [x] y",
    ],
]


@pytest.mark.parametrize("text", NOT_MARKDOWN)
@pytest.mark.parametrize("dialect", CHANNELS.values(), ids=CHANNELS.keys())
def test_what_is_no_markdown_is_not_damaged(text: str, dialect: Dialect) -> None:
    """It is sent as it was written, but for white space around it."""
    assert compose(text, dialect) == [TextPart(text.strip())]


def test_what_was_written_for_whatsapp_stays() -> None:
    """In a text without any sign of Markdown, `*word*` is WhatsApp's own bold, and stays whole across a cut."""
    assert sent("*negrito* e _itálico_", WHATSAPP) == ["*negrito* e _itálico_"]
    for part in sent("*" + "palavra " * 700 + "fim*", WHATSAPP):
        assert part.startswith("*palavra")
        assert part.endswith(("palavra*", "fim*"))


@given(
    st.lists(
        st.sampled_from(["Olá", "sim,", "R$ 3.50", "não!", "\n", "\n\n", "好。", "👍🏽", "a_b", "5 * 3"]),
        max_size=30,
    )
)
def test_plain_text_is_rendered_to_itself(words: list[str]) -> None:
    """Rendering is idempotent on plain text, and leaves it alone."""
    text = " ".join(words).strip()
    for dialect in CHANNELS.values():
        assert sent(text, dialect) == ([text] if text else [])


@given(texts)
def test_no_letter_is_lost_in_rendering(text: str) -> None:
    """Every channel takes any text, and no word of it is lost."""
    for dialect in CHANNELS.values():
        parts = compose(text, dialect)
        letters = [one for one in "".join(part.text for part in parts) if one.isalpha()]
        assert [one for one in clean_text(text) if one.isalpha()] == letters or HIDES.search(text)


marked = st.lists(
    st.sampled_from(
        [
            "**",
            "*",
            "_",
            "~~",
            "`",
            "```\n",
            "\n",
            "\n\n",
            " ",
            "a",
            "palavra",
            "😀",
            "[",
            "](https://e.com)",
            "# ",
            "- ",
            "e\u0301",
        ]
    ),
    max_size=60,
).map("".join)


@given(marked, st.integers(12, 60))
def test_entities_are_in_range_and_nested(text: str, limit: int) -> None:
    """No entity leaves its part, is empty, begins or ends inside a character, or crosses another."""
    small = Dialect(limit, entities=True, max_spans=5)
    for part in compose(text, small, max_parts=None):
        units = part.text.encode("utf-16-le")
        assert len(units) // 2 <= limit
        assert len(part.entities) <= 5
        ends: list[int] = []
        for one in part.entities:
            assert 0 <= one.offset < one.offset + one.length <= len(units) // 2
            units[2 * one.offset : 2 * (one.offset + one.length)].decode("utf-16-le")
            while ends and ends[-1] <= one.offset:
                ends.pop()
            assert not ends or one.offset + one.length <= ends[-1]
            ends.append(one.offset + one.length)
            if one.type in {"code", "pre"}:
                assert len(ends) == 1


styled_words = st.lists(
    st.sampled_from(["a", "palavra", "😀", " ", "\n", "e\u0301", " ~~x~~ ", " `c d` ", " _i j_ "]), max_size=60
)


@given(styled_words.map("".join), st.integers(12, 60))
def test_marks_are_closed_in_every_part(text: str, limit: int) -> None:
    """WhatsApp's marks fit within the limit, and styles do not leak from one part to the next."""
    small = Dialect(limit, marks=WHATSAPP.marks, native="WhatsApp", single_stars=False)
    for part in compose("**negrito " + text + "fim** ok", small, max_parts=None):
        assert utf16_units(part.text) <= limit
        assert all(part.text.count(mark) % 2 == 0 for mark in "*_~`")
        assert "negrito" not in part.text or "*negrito" in part.text


READERS = {
    "HTML": read_html,
    "MarkdownV2": read_markdown_v2,
    "Markdown": read_legacy_markdown,
    "WhatsApp": read_whatsapp,
}
pieces = st.lists(
    st.sampled_from(
        [
            *[
                "<b>",
                "</b>",
                "<i>",
                "</i>",
                "<pre>",
                "</pre>",
                '<a href="x">',
                "</a>",
                "&amp;",
                "\\.",
                "*",
                "_",
                "__",
            ],
            *["||", "~", "`", "```", "[", "](u)", "a", " ", "b c", "\n", "😀"],
        ]
    ),
    max_size=30,
).map("".join)


@given(pieces, st.sampled_from(list(READERS.values())))
def test_mark_up_of_a_workflow_comes_back(source: str, read: Callable[[str], Styled]) -> None:
    """A reader's result, assembled uncut, is the source but for white space moved out of a style."""
    styled = read(source)
    whole = assemble(styled, Piece(0, len(styled.text), styled.spans), len).text
    assert "".join(whole.split()) == "".join(source.split())
    assert len(whole) == len(source)


@pytest.mark.parametrize(
    ("markup", "opening", "closing"),
    [
        ("HTML", "<pre>", "</pre>"),
        ("HTML", '<b>x <a href="https://e.com/?a=1&amp;b=2">', "</a></b>"),
        ("HTML", '<pre><code class="language-python">', "</code></pre>"),
        ("MarkdownV2", "*", "*"),
        ("MarkdownV2", "||__", "__||"),
        ("MarkdownV2", "```python\n", "```"),
        ("MarkdownV2", "[", "](https://e.com/a\\)b)"),
        ("Markdown", "_", "_"),
        ("WhatsApp", "*_", "_*"),
        ("WhatsApp", "```", "```"),
    ],
)
def test_mark_up_is_closed_and_opened_again_at_a_cut(markup: str, opening: str, closing: str) -> None:
    """Each part is balanced by itself, and none is longer than the provider takes."""
    parts = sent(f"{opening}{('palavra ' * 1200).strip()}{closing} fim", TELEGRAM, markup=markup)
    assert len(parts) >= 3
    assert all(part.startswith((opening, opening.replace("x ", ""))) for part in parts[:-1])
    assert all(part.rstrip().endswith(closing) for part in parts[:-1])
    assert parts[-1].endswith(f"{closing} fim")
    assert all(utf16_units(part) <= 4096 for part in parts)


@pytest.mark.parametrize(
    ("markup", "atom"),
    [("HTML", "&amp;"), ("HTML", "&#128512;"), ("HTML", "<br>"), ("MarkdownV2", "\\."), ("HTML", "</b>")],
)
def test_no_entity_and_no_escape_is_torn(markup: str, atom: str) -> None:
    """Also where the mark-up as a whole does not balance."""
    for at in range(1, len(atom)):
        first, second = sent("a" * (4096 - at) + atom + "b" * 50, TELEGRAM, markup=markup)
        assert first == "a" * (4096 - at)
        assert second == atom + "b" * 50


def test_code_keeps_its_indentation_across_a_cut() -> None:
    """White space in code is content: only the line break at the cut goes."""
    code = "def f():\n" + "    return 1\n" * 900
    for dialect in (WHATSAPP, TELEGRAM):
        parts = compose(f"```\n{code}```", dialect)
        lines = [line for part in parts for line in part.text.replace("```", "").split("\n")]
        assert lines == code.strip().split("\n")
        assert all(part.entities or (part.text.startswith("```") and part.text.endswith("```")) for part in parts)


def test_a_hundred_entities_a_message() -> None:
    """Telegram ignores further ones, so a part ends before them and no link loses its address."""
    parts = compose("[a](https://e.com) " * 250, TELEGRAM)
    assert [len(part.entities) for part in parts] == [100, 100, 50]


def test_mark_up_longer_than_a_part_is_left_out() -> None:
    """A link that no part has room for is text, and nothing is lost or repeated without end."""
    styled = read_html(f'<a href="https://e.com/{"x" * 50}">{"palavra " * 20}</a>')
    parts = split_styled(styled, 40)
    assert all(len(part.text) <= 40 for part in parts)
    assert " ".join(part.text for part in parts).split() == ["palavra"] * 20
