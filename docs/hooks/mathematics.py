r"""Formulas as MathML: what stands between dollars becomes markup that browsers set themselves.

The pages write formulas in the small part of LaTeX that GitHub shows too. Nothing is fetched and no
script runs in the page. A command that is not known here stops the build: no formula is shown half.

>>> mathml("x_t^2")
'<math><mrow><msubsup><mi>x</mi><mi>t</mi><mn>2</mn></msubsup></mrow></math>'
"""

from __future__ import annotations

import html
import re

#: A command with its words, a command, a number, or any other sign.
_TOKEN = re.compile(
    r"\\(?:text|mathrm|texttt|mathbb)\s*\{[^{}]*\}|\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|\S",
    flags=re.DOTALL,
)
_OPERATORS = {
    "sum": "∑", "prod": "∏", "int": "∫", "le": "≤", "ge": "≥", "ne": "≠", "approx": "≈",
    "in": "∈", "cdot": "⋅", "times": "×", "to": "→", "pm": "±", "dots": "…", "cup": "∪",
    "cap": "∩", "forall": "∀", "lceil": "⌈", "rceil": "⌉", "lfloor": "⌊", "rfloor": "⌋",
    "notin": "∉", "ni": "∋", "bigcup": "⋃", "odot": "⊙", "partial": "∂", "ln": "ln", "Pr": "Pr",
    "{": "{", "}": "}", "min": "min", "max": "max", "log": "log", "exp": "exp",
}  # fmt: skip
_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε",
    "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω", "top": "⊤", "infty": "∞", "ell": "ℓ",
    "zeta": "ζ", "iota": "ι", "xi": "ξ", "nu": "ν", "Lambda": "Λ", "Phi": "Φ", "Omega": "Ω",
}  # fmt: skip
_SPACES = {"qquad": "2em", "quad": "1em", ",": "0.17em", ";": "0.28em", " ": "0.25em"}
#: What carries its indices below and above in a displayed formula.
_LIMITS = {"∑", "∏", "⋃", "min", "max"}
#: What is larger than letters; fonts without mathematics do not enlarge it by themselves.
_LARGE = {"∑", "∏", "⋃", "∫"}
_MARKED = re.compile(
    r'<(span|div) class="arithmatex">\s*\\([(\[])(.*?)\\[)\]]\s*</\1>', flags=re.DOTALL
)


class FormulaError(ValueError):
    """A formula uses something that this small part of LaTeX does not know."""


def mathml(formula: str, *, block: bool = False) -> str:
    """MathML of a formula.

    Parameters
    ----------
    formula
        Text between the dollars.
    block
        Whether it stands on a line of its own.

    Returns
    -------
    str
        A ``math`` element.

    Raises
    ------
    FormulaError
        A command is not known, or braces do not match.
    """
    reader = _Reader(formula, block=block)
    body = reader.row(end=None)
    attribute = ' display="block"' if block else ""
    return f"<math{attribute}>{body}</math>"


class _Reader:
    """Reads a formula sign by sign."""

    def __init__(self, formula: str, *, block: bool) -> None:
        self.formula = formula
        self.block = block
        self.tokens = _TOKEN.findall(formula)
        self.at = 0

    def row(self, end: str | None) -> str:
        """Elements up to `end`, with their indices."""
        parts = []
        while (token := self._peek()) != end:
            if token is None:
                raise FormulaError(f"A brace is not closed in: {self.formula}")
            parts.append(self._scripted())
        self.at += 1
        return f"<mrow>{''.join(parts)}</mrow>"

    def _peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _scripted(self) -> str:
        """One element with what stands below and above it."""
        base, limits = self._atom()
        below = above = ""
        while self._peek() in ("_", "^", "'"):
            sign = self.tokens[self.at]
            self.at += 1
            if sign == "'":
                above += "<mo>′</mo>"
            elif sign == "^":
                above += self._atom()[0]
            else:
                below = self._atom()[0]
        if not below and not above:
            return base
        kind = ("munder", "mover", "munderover") if limits else ("msub", "msup", "msubsup")
        above = f"<mrow>{above}</mrow>" if above.count("<mo>′</mo>") and "msub" in kind else above
        name = kind[2] if below and above else kind[0] if below else kind[1]
        return f"<{name}>{base}{below}{above}</{name}>"

    def _atom(self) -> tuple[str, bool]:
        """One element, and whether its indices stand below and above it."""
        token = self._peek()
        if token is None:
            raise FormulaError(f"Something is missing at the end of: {self.formula}")
        self.at += 1
        if token == "{":
            return self.row(end="}"), False
        if token.startswith("\\"):
            return self._command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>", False
        if token.isalpha():
            return f"<mi>{html.escape(token)}</mi>", False
        fence = ' stretchy="false"' if token in "()[]|" else ""
        return f"<mo{fence}>{html.escape({'-': '−'}.get(token, token))}</mo>", False

    def _command(self, name: str) -> tuple[str, bool]:
        if name in _SPACES:
            return f'<mspace width="{_SPACES[name]}"></mspace>', False
        if name in _OPERATORS:
            sign = _OPERATORS[name]
            size = ' mathsize="1.4em"' if self.block and sign in _LARGE else ""
            return f"<mo{size}>{sign}</mo>", self.block and sign in _LIMITS
        if name in _LETTERS:
            return f"<mi>{_LETTERS[name]}</mi>", False
        if words := re.fullmatch(r"([a-z]+)\s*\{(.*)\}", name, flags=re.DOTALL):
            text = html.escape(words[2]).replace(" ", "&#160;")
            variant = {"texttt": "monospace", "mathbb": "double-struck"}.get(words[1])
            if variant is not None:
                return f'<mi mathvariant="{variant}">{text}</mi>', False
            element = "mtext" if words[1] == "text" else "mi"
            return f"<{element}>{text}</{element}>", False
        if name in ("frac", "tfrac"):
            block, self.block = self.block, False
            fraction = f"<mfrac>{self._atom()[0]}{self._atom()[0]}</mfrac>"
            self.block = block
            if name == "tfrac":
                fraction = f'<mstyle displaystyle="false" scriptlevel="1">{fraction}</mstyle>'
            return fraction, False
        if name == "underbrace":
            return f"<munder>{self._atom()[0]}<mo>⏟</mo></munder>", True
        if name == "sqrt":
            return f"<msqrt>{self._atom()[0]}</msqrt>", False
        if name == "bar":
            return f'<mover accent="true">{self._atom()[0]}<mo>¯</mo></mover>', False
        if name in ("Big", "big", "left", "right"):
            sign = self.tokens[self.at].removeprefix("\\")
            self.at += 1
            size = {
                "Big": ' stretchy="false" mathsize="1.7em"',
                "big": ' stretchy="false" mathsize="1.3em"',
            }
            return f"<mo{size.get(name, '')}>{html.escape(sign)}</mo>", False
        raise FormulaError(
            f"The command \\{name} is not known; teach it to docs/hooks/mathematics.py."
        )


def on_page_content(content: str, **_: object) -> str:
    """Set the formulas of a page, which `pymdownx.arithmatex` has marked."""

    def put(match: re.Match[str]) -> str:
        block = match[2] == "["
        markup = mathml(html.unescape(match[3]), block=block)
        return f'<div class="formula">{markup}</div>' if block else markup

    return _MARKED.sub(put, content)
