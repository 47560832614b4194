"""Routes of the viewer, to be given to `st.App(script, routes=routes(source))`.

GET  /ki67/viewer/<file>                              the built bundle
GET  /ki67/pictures/<code>/info.json                  size, levels, µm/px
GET  /ki67/pictures/<code>/tiles/<level>/<x>_<y>.jpg  one tile
GET  /ki67/runs/<code>/overlay.json                   border, outline, hot spot, what else there is
GET  /ki67/runs/<code>/nuclei.bin                     positions, kinds and numbers of the nuclei
GET  /ki67/runs/<code>/tumor.png                      tumor probability, 8-bit gray
POST /ki67/uploads                                    a picture as the request's body, streamed
"""

from __future__ import annotations

from starlette.routing import BaseRoute

from viewer.sources import ViewerSource


def routes(source: ViewerSource) -> list[BaseRoute]:
    """Every route of the viewer, answered by `source` (in the app: `viewer.store_source.StoreSource`)."""
    raise NotImplementedError
