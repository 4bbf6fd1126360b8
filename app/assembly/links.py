"""The HTML part of a version: links lead through the click route, the pixel stands at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.assembly import grammar, tree
from app.assembly.marking import MARK, Marks
from tracking.rewriting import destination, insert_pixel, replace_links

_TOKEN_CODE = f"{{{{ {tree.TOKEN} }}}}"
MAX_LINKS = 1_000


@dataclass(slots=True, kw_only=True)
class Rewriting:
    """One HTML part on its way: what it links to so far, and the nodes that stand for links."""

    base: str
    link_token: Callable[[str, int], str]
    marks: Marks = field(default_factory=Marks)
    links: list[tuple[int, str]] = field(default_factory=list)
    nodes: dict[str, tree.Node] = field(
        default_factory=lambda: {tree.TOKEN: tree.Show(value=tree.Lookup(path=(tree.TOKEN,)))}
    )

    def link(self, value: str) -> str | None:
        """Return the new href of a link, or None to leave it as it is."""
        if len(self.links) >= MAX_LINKS:
            return None
        return self._written(value) if MARK.search(value) else self._fixed(value)

    def _fixed(self, value: str) -> str | None:
        """Sign a destination without variables: once per version."""
        url = destination(value)
        if url is None:
            return None
        number = len(self.links) + 1
        self.links.append((number, url))
        token = self.link_token(url, number)
        return f"{self.base}/c/{self.marks.add(_TOKEN_CODE)}/{token}"

    def _written(self, value: str) -> str | None:
        """Leave a destination with variables to be signed per mail; keep `mailto:` and the like."""
        source = self.marks.unmark(value)
        if not (MARK.match(value) or value.lower().startswith(("http://", "https://"))):
            return None
        body, problems = grammar.read(source, "html", environment=grammar.REBUILT, reserved={})
        own = any(lookup.label == tree.UNSUBSCRIBE for lookup in tree.lookups(body))
        if problems or own:
            return None
        number = len(self.links) + 1
        self.links.append((number, source))
        name = f"_link_{number}"
        self.nodes[name] = tree.Link(number=number, destination=body)
        return self.marks.add(f"{{{{ {name} }}}}")

    def pixel(self) -> str:
        """Return the image that reports an open; it holds the mail's token."""
        source = f"{self.base}/t/{self.marks.add(_TOKEN_CODE)}.gif"
        return f'<img src="{source}" width="1" height="1" alt="" style="display:block">'

    def read(self, marked: str) -> tree.Body:
        """Return the tree of the rewritten part."""
        body, problems = grammar.read(
            self.marks.unmark(marked), "html", environment=grammar.REBUILT, reserved=self.nodes
        )
        if problems:
            raise AssertionError(problems)  # the source was accepted before it was rewritten
        return body


def numbered(html: str) -> tuple[tuple[int, str], ...]:
    """Return (number, destination) of every link a click is counted for, as versions number them.

    A destination with variables is given as its source.
    """
    rewriting = Rewriting(base="", link_token=lambda _url, _number: "")
    replace_links(rewriting.marks.mark(html), rewriting.link)
    return tuple(rewriting.links)


def rewritten(
    html: str, rewriting: Rewriting, *, track_clicks: bool, track_opens: bool
) -> tree.Body:
    """Return the tree of the HTML part with tracking as the identity wants it."""
    marked = rewriting.marks.mark(html)
    if track_clicks:
        marked = replace_links(marked, rewriting.link)
    if track_opens:
        marked = insert_pixel(marked, rewriting.pixel())
    return rewriting.read(marked)
