"""A page as PDF, by WeasyPrint; it needs Pango, which is a system library. The only module that loads it."""

from __future__ import annotations

import io
import logging

from ki67.errors import Ki67Error

NO_PANGO = (
    "The PDF is left out: WeasyPrint finds no Pango on this machine. Install it (on Debian: "
    "apt install libpango-1.0-0 libpangoft2-1.0-0), or print the HTML page from a browser."
)


def pdf_of(html: bytes) -> bytes:
    """The page as PDF; the same page gives the same bytes on the same machine.

    Nothing is fetched: what the page shows is in the page. Raises Ki67Error where Pango is not installed.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except OSError as error:
        raise Ki67Error(NO_PANGO) from error

    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    made = io.BytesIO()
    HTML(string=html.decode("utf8"), url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf(made)
    return made.getvalue()
