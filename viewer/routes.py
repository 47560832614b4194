"""Routes of the viewer, to be given to `st.App(script, routes=routes(source))`.

GET  /ki67/viewer/<file>                              the built bundle
GET  /ki67/pictures/<code>/info.json                  size, levels, µm/px
GET  /ki67/pictures/<code>/tiles/<level>/<x>_<y>.jpg  one tile
GET  /ki67/runs/<code>/overlay.json                   border, outline, hot spot, what else there is
GET  /ki67/runs/<code>/nuclei.bin                     positions, kinds and numbers of the nuclei
GET  /ki67/runs/<code>/tumor.png                      tumor probability, 8-bit gray
POST /ki67/uploads                                    a picture as the request's body, streamed

Pictures and runs are named by opaque codes only; an unknown code is a 404.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ki67.errors import Ki67Error
from viewer.build import BUILD
from viewer.payloads import EncodedOverlay, encode_overlay
from viewer.sources import UnknownCode, ViewedPicture, ViewerSource
from viewer.tiles import OVERLAP_PX, TILE_PX, BoundedCache, TileAddress, TileServer
from viewer.uploads import Uploads

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
BUNDLE_FILES = ("viewer.js", "viewer.css")
KNOWN_PICTURES = 256
OVERLAY_CACHE_BYTES = 64 << 20
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
EACH_TIME = {"Cache-Control": "private, no-cache"}
OWN_PAGES_ONLY = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}


def routes(source: ViewerSource) -> list[BaseRoute]:
    """Every route of the viewer, answered by `source` (in the app: `viewer.store_source.StoreSource`)."""
    pictures = PictureEndpoints(source)
    runs = RunEndpoints(source)
    picture, run = "/ki67/pictures/{code}", "/ki67/runs/{code}"
    return [
        Route("/ki67/viewer/{file}", bundle),
        Route(f"{picture}/info.json", answering(pictures.info)),
        Route(f"{picture}/tiles/{{level:int}}/{{column:int}}_{{row:int}}.jpg", answering(pictures.tile)),
        Route(f"{run}/overlay.json", answering(runs.lines)),
        Route(f"{run}/nuclei.bin", answering(runs.nuclei)),
        Route(f"{run}/tumor.png", answering(runs.tumor)),
        Route("/ki67/uploads", Uploads(source).__call__, methods=["POST"]),
    ]


def answering(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """The endpoint with errors for people turned into answers, and closed to pages of other sites."""

    def answer(request: Request) -> Response:
        try:
            response = endpoint(request)
        except UnknownCode as error:
            response = JSONResponse({"message": str(error)}, status_code=404)
        except Ki67Error as error:
            response = JSONResponse({"message": str(error)}, status_code=422)
        response.headers.update(OWN_PAGES_ONLY)
        return response

    return answer


def bundle(request: Request) -> Response:
    """A file of the built bundle."""
    name = request.path_params["file"]
    if name not in BUNDLE_FILES or not (BUILD / name).is_file():
        return JSONResponse({"message": "Build the viewer first: python -m viewer.build."}, status_code=404)
    return FileResponse(BUILD / name, headers=FOREVER if "v" in request.query_params else EACH_TIME)


def asked_code(request: Request) -> str:
    """The code in the request's path; raises `UnknownCode` for anything that cannot be one."""
    code = str(request.path_params["code"])
    if not CODE.fullmatch(code):
        raise UnknownCode("No picture or run has this code.")
    return code


class PictureEndpoints:
    """Answers about pictures, with one bounded cache of open slides and tiles."""

    def __init__(self, source: ViewerSource) -> None:
        self._source = source
        self._tiles = TileServer()
        self._known: BoundedCache[ViewedPicture] = BoundedCache(KNOWN_PICTURES, lambda _: 1)

    def info(self, request: Request) -> Response:
        """Size, pyramid and pixel size of a picture."""
        code = asked_code(request)
        picture = self._picture(code)
        content = {
            "width": picture.width_px,
            "height": picture.height_px,
            "mpp": picture.mpp,
            "tile_px": TILE_PX,
            "overlap_px": OVERLAP_PX,
            "levels": self._tiles.level_count(code, picture),
        }
        return JSONResponse(content, headers=EACH_TIME)

    def tile(self, request: Request) -> Response:
        """One JPEG tile; a picture never changes under its code, so browsers may keep it."""
        code = asked_code(request)
        params = request.path_params
        address = TileAddress(params["level"], params["column"], params["row"])
        data = self._tiles.tile(code, self._picture(code), address)
        return Response(data, media_type="image/jpeg", headers=FOREVER)

    def _picture(self, code: str) -> ViewedPicture:
        """The picture, asked for once: a tile must not wait for the store."""
        kept = self._known.get(code)
        if kept is None:
            kept = self._source.picture(code)
            self._known.put(code, kept)
        return kept


class RunEndpoints:
    """Answers about runs; encoded overlays are kept within a bound."""

    def __init__(self, source: ViewerSource) -> None:
        self._source = source
        self._encoded: BoundedCache[EncodedOverlay] = BoundedCache(OVERLAY_CACHE_BYTES, len)

    def lines(self, request: Request) -> Response:
        """Border, outline, hot spot and what else the run has."""
        encoded = self._overlay(request)
        return Response(encoded.lines, media_type="application/json", headers=EACH_TIME)

    def nuclei(self, request: Request) -> Response:
        """The nuclei as raw arrays (layout: `viewer.payloads.encode_nuclei`)."""
        return self._binary(self._overlay(request).nuclei, "application/octet-stream")

    def tumor(self, request: Request) -> Response:
        """The tumor probability map as a gray PNG."""
        return self._binary(self._overlay(request).tumor, "image/png")

    def _binary(self, data: bytes | None, media_type: str) -> Response:
        if data is None:
            raise UnknownCode("This run has no such layer.")
        # named as it is, so that the server does not spend its time compressing it
        return Response(data, media_type=media_type, headers={**EACH_TIME, "Content-Encoding": "identity"})

    def _overlay(self, request: Request) -> EncodedOverlay:
        code = asked_code(request)
        kept = self._encoded.get(code)
        if kept is None:
            kept = encode_overlay(self._source.overlay(code))
            self._encoded.put(code, kept)
        return kept
