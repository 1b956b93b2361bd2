"""A chart as a picture that needs nothing around it: for exports, mail and pages where no script draws it.

It is made here, by vl-convert, without the network and without a browser. A picture cannot take its colours from the
page, so it brings its own ground: white with dark letters, or nearly black for a chart with ``theme="dark"``. It can be
read on a page of any colour.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

from ..._extras import needs_extra
from ...errors import MissingExtraError
from .look import INKS, contrast

__all__ = ["MOST_BYTES", "MOST_SPEC", "SVG", "picture"]

SVG: Final = "image/svg+xml"
MOST_BYTES: Final = 1 << 20
"""The largest picture that is put into a notebook, in bytes. A chart of a thousand points has about half of it."""
MOST_SPEC: Final = 4 << 20
"""The largest specification, in bytes of JSON, of which a picture is made at all."""
_LIGHT: Final = "#ffffff"
_DARK: Final = "#111111"
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


def picture(spec: dict[str, Any]) -> tuple[str | None, str]:
    """An SVG of a chart.

    Parameters
    ----------
    spec
        The Vega-Lite specification. It is not changed.

    Returns
    -------
    tuple of str or None, and str
        The picture, at most `MOST_BYTES` of UTF-8, and why there is none; the other one of the two is empty.
    """
    try:
        with needs_extra("the picture of a chart, for exports,"):
            import vl_convert
    except MissingExtraError as error:  # the live chart needs it not
        return None, str(error)
    themed = cast("dict[str, Any]", _of_a_known_ground(spec))
    themed["background"] = _ground(themed)
    text = json.dumps(themed)
    if len(text) > MOST_SPEC:
        return None, f"its data, {len(text):,} bytes, are too large for a picture"
    try:
        made = vl_convert.vegalite_to_svg(text, allowed_base_urls=[])
    except ValueError as error:
        return None, f"no picture can be made of it: {' '.join(str(error).split())[:200]}"
    size = len(made.encode())
    if size > MOST_BYTES:
        return None, f"its picture would have {size:,} bytes; at most {MOST_BYTES:,} are put into a notebook"
    return made, ""


def _of_a_known_ground(value: Any) -> Any:
    """The specification with the inks of a light page instead of those that follow the page around."""
    if isinstance(value, dict):
        return {key: _of_a_known_ground(one) for key, one in cast("dict[str, Any]", value).items() if key != "usermeta"}
    if isinstance(value, list):
        return [_of_a_known_ground(one) for one in cast("list[Any]", value)]
    return INKS["light"].text if value == INKS["page"].text else value


def _ground(spec: dict[str, Any]) -> str:
    """White, unless the text could not be read on it."""
    ink = spec.get("config", {}).get("title", {}).get("color")
    if isinstance(ink, str) and _COLOUR.fullmatch(ink) and contrast(ink, _LIGHT) < contrast(ink, _DARK):
        return _DARK
    return _LIGHT
