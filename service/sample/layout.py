"""HTML templates: six ways in which sites wrap a text, from hand-made tables of 1999 to a news site of today."""

import base64
import dataclasses
import json
import random
from collections.abc import Callable
from html import escape

from service.sample.hosts import CHROME, Chrome, Host


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a template is filled with; all strings are plain text but `main`."""

    title: str
    main: str
    """HTML of the main text."""
    author: str
    date: str
    """ISO date."""
    comments: tuple[str, ...] = ()
    related: tuple[tuple[str, str], ...] = ()
    """(path, title) of other pages."""
    placeholder: bytes = b""
    """Bytes of a blurred preview image, sent inline as such sites do."""
    charset: str = "utf-8"
    """What the page says of itself in a meta tag; empty to say nothing."""


def render(host: Host, content: Content) -> str:
    """The whole page."""
    return LAYOUTS[host.layout](host, content, CHROME[host.language])


def paragraphs(sections: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Sections as `<h2>` and `<p>`."""
    lines = []
    for heading, texts in sections:
        if heading:
            lines.append(f"<h2>{escape(heading)}</h2>")
        lines.extend(f"<p>{escape(text, quote=False)}</p>" for text in texts)
    return "\n".join(lines)


def placeholder(rng: random.Random, size: int) -> bytes:
    """Bytes that begin like a JPEG and are noise from there on."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + rng.randbytes(size)


def _meta(content: Content) -> str:
    return f'<meta charset="{content.charset}">\n' if content.charset else ""


def _links(words: Chrome) -> str:
    paths = ("/", "/articles/", "/archive/", "/about", "/contact", "/search")
    return "\n".join(f'<li><a href="{p}">{escape(w)}</a></li>' for p, w in zip(paths, words.nav, strict=True))


def _related(content: Content) -> str:
    return "\n".join(f'<li><a href="{path}">{escape(title)}</a></li>' for path, title in content.related)


def _comments(content: Content, words: Chrome) -> str:
    rows = "\n".join(
        f'<div class="comment"><span class="who">{escape(words.names[n % len(words.names)])}</span>'
        f'<time>{content.date} {8 + n % 12:02d}:{n * 17 % 60:02d}</time><div class="text">{escape(text)}</div></div>'
        for n, text in enumerate(content.comments)
    )
    head = f"<h3>{escape(words.comments)} ({len(content.comments)})</h3>"
    return f'<section id="comments" class="comments">{head}{rows}</section>'


def _image(content: Content) -> str:
    if not content.placeholder:
        return ""
    data = base64.b64encode(content.placeholder).decode("ascii")
    return f'<figure><img class="lqip" src="data:image/jpeg;base64,{data}" alt="" width="1200" height="630"></figure>'


def _banner(words: Chrome) -> str:
    return (
        f'<div id="cookie-consent" class="cookie-banner" role="dialog"><p>{escape(words.cookies)}</p>'
        f'<button type="button">{escape(words.accept)}</button></div>'
    )


def _blog(host: Host, content: Content, words: Chrome) -> str:
    return f"""<!DOCTYPE html>
<html lang="{host.language}">
<head>
{_meta(content)}<title>{escape(content.title)} | {escape(host.title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="WordPress 6.6.2">
<link rel="stylesheet" href="/wp-content/themes/grist/style.css?ver=6.6.2">
<style>body{{font:18px/1.6 Georgia,serif;margin:0}}.wrap{{max-width:1100px;margin:auto;display:flex}}main{{flex:3}}
aside{{flex:1;padding:1em}}.cookie-banner{{position:fixed;bottom:0;background:#222;color:#fff}}</style>
<script>window.dataLayer=window.dataLayer||[];function gtag(){{dataLayer.push(arguments);}}
gtag('js',new Date());</script>
</head>
<body class="single single-post">
{_banner(words)}
<header class="site-header"><h1 class="site-title"><a href="/">{escape(host.title)}</a></h1>
<nav class="main-navigation"><ul>
{_links(words)}
</ul></nav></header>
<div class="wrap"><main id="content"><article class="post hentry">
<header class="entry-header"><h1 class="entry-title">{escape(content.title)}</h1>
<p class="entry-meta">{escape(words.by)} <a rel="author" href="/author/1">{escape(content.author)}</a>
<time datetime="{content.date}">{content.date}</time></p></header>
{_image(content)}
<div class="entry-content">
{content.main}
</div>
<footer class="entry-footer share-buttons">{escape(words.share)}: <a href="#f">Facebook</a> <a href="#x">X</a></footer>
</article>
{_comments(content, words)}
</main>
<aside class="sidebar widget-area"><div class="widget"><h3>{escape(words.related)}</h3><ul>
{_related(content)}
</ul></div><div class="widget newsletter"><h3>{escape(words.subscribe)}</h3><form><input type="email"></form></div>
</aside>
</div>
<footer class="site-footer"><p>© 2026 {escape(host.title)}. {escape(words.rights)}</p></footer>
<script src="/wp-includes/js/jquery/jquery.min.js"></script>
</body>
</html>
"""


def _news(host: Host, content: Content, words: Chrome) -> str:
    about = {"@type": "NewsArticle", "headline": content.title, "datePublished": content.date,
             "author": {"@type": "Person", "name": content.author}, "publisher": host.title}  # fmt: skip
    return f"""<!doctype html>
<html lang="{host.language}"><head>{_meta(content)}<title>{escape(content.title)} - {escape(host.title)}</title>
<meta property="og:type" content="article"><meta property="og:title" content="{escape(content.title)}">
<meta property="og:site_name" content="{escape(host.title)}"><link rel="canonical" href="https://{host.name}/">
<script type="application/ld+json">{json.dumps(about, ensure_ascii=False)}</script>
<link rel="preload" href="/_next/static/css/5f2e.css" as="style"></head>
<body><div id="__next"><div class="consent-overlay">{_banner(words)}</div>
<header class="masthead"><a href="/" class="logo">{escape(host.title)}</a><nav><ul>
{_links(words)}
</ul></nav><div class="ticker breaking">{escape(words.more)}: {escape(content.title)}</div></header>
<main><article><h1>{escape(content.title)}</h1>
<div class="byline"><span class="author">{escape(words.by)} {escape(content.author)}</span>
<time datetime="{content.date}">{content.date}</time></div>
{_image(content)}
<div class="article-body" itemprop="articleBody">
{content.main}
</div></article>
<section class="related-stories"><h2>{escape(words.related)}</h2><ul>
{_related(content)}
</ul></section>
{_comments(content, words)}</main>
<footer class="footer"><ul>
{_links(words)}
</ul><p class="copyright">© 2026 {escape(host.title)} {escape(words.rights)}</p></footer></div>
<script id="__NEXT_DATA__" type="application/json">{json.dumps({"props": {"pageProps": {"story": about}}})}</script>
<script async src="/_next/static/chunks/main-9c1d.js"></script></body></html>
"""


def _docs(host: Host, content: Content, words: Chrome) -> str:
    return f"""<!DOCTYPE html>
<html lang="{host.language}">
<head>
{_meta(content)}<title>{escape(content.title)} — {escape(host.title)}</title>
<link rel="stylesheet" href="_static/pygments.css"><link rel="stylesheet" href="_static/classic.css">
<link rel="search" title="Search" href="search.html"></head>
<body>
<div class="related" role="navigation"><h3>Navigation</h3><ul>
{_links(words)}
</ul></div>
<div class="document"><div class="documentwrapper"><div class="bodywrapper"><div class="body" role="main">
<section id="content"><h1>{escape(content.title)}<a class="headerlink" href="#content">¶</a></h1>
{content.main}
</section></div></div></div>
<div class="sphinxsidebar" role="navigation"><div class="sphinxsidebarwrapper"><h4>{escape(words.related)}</h4><ul>
{_related(content)}
</ul><div class="searchbox"><form action="search.html"><input name="q"></form></div></div></div></div>
<div class="footer">© {escape(host.title)}. Last updated on {content.date}. Created using Sphinx.</div>
</body>
</html>
"""


def _wiki(host: Host, content: Content, words: Chrome) -> str:
    return f"""<!DOCTYPE html>
<html class="client-nojs" lang="{host.language}" dir="ltr">
<head>{_meta(content)}<title>{escape(content.title)} - {escape(host.title)}</title>
<meta name="generator" content="MediaWiki 1.43.0"></head>
<body class="mediawiki ltr sitedir-ltr"><div id="mw-page-base" class="noprint"></div>
<div id="content" class="mw-body" role="main"><h1 id="firstHeading">{escape(content.title)}</h1>
<div id="bodyContent"><div id="siteSub" class="noprint">{escape(host.title)}</div>
<div id="toc" class="toc"><ul><li><a href="#s1">1</a></li><li><a href="#s2">2</a></li></ul></div>
<div id="mw-content-text" class="mw-parser-output">
{content.main}
</div>
<div id="catlinks" class="catlinks"><ul>
{_related(content)}
</ul></div></div></div>
<div id="mw-navigation"><div id="p-navigation" class="portal" role="navigation"><ul>
{_links(words)}
</ul></div></div>
<footer id="footer"><ul><li>{content.date}</li><li>{escape(words.rights)}</li></ul></footer>
</body></html>
"""


def _table(host: Host, content: Content, words: Chrome) -> str:
    meta = f'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset={content.charset}">' if content.charset else ""
    rows = "\n".join(
        f'<TR><TD><FONT SIZE="-1"><A HREF="{path}">{escape(title)}</A></FONT></TD></TR>'
        for path, title in content.related
    )
    return f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<HTML><HEAD>{meta}<TITLE>{escape(host.title)}: {escape(content.title)}</TITLE></HEAD>
<BODY BGCOLOR="#FFFFF0" TEXT="#000000" LINK="#0000CC">
<CENTER><FONT SIZE="+2"><B>{escape(host.title)}</B></FONT></CENTER><HR>
<TABLE WIDTH="100%" BORDER="0" CELLPADDING="6"><TR>
<TD WIDTH="160" VALIGN="top" BGCOLOR="#E8E8D0"><UL>
{_links(words)}
</UL><TABLE>{rows}</TABLE></TD>
<TD VALIGN="top"><H1>{escape(content.title)}</H1>
{content.main}
<P ALIGN="right"><I>{escape(content.author)}, {content.date}</I></P></TD></TR></TABLE>
<HR><FONT SIZE="-2">{escape(words.rights)} Best viewed at 800 x 600.</FONT>
</BODY></HTML>
"""


def _plain(host: Host, content: Content, words: Chrome) -> str:
    return f"""<!DOCTYPE html>
<html lang="{host.language}"><head>{_meta(content)}<title>{escape(content.title)}</title>
<style>body{{max-width:40em;margin:2em auto;font-family:serif}}</style></head>
<body>
<p class="nav"><a href="/">{escape(host.title)}</a> / <a href="/archive/">{escape(words.archive)}</a></p>
<h1>{escape(content.title)}</h1>
{content.main}
<hr><ul class="see-also">
{_related(content)}
</ul>
<address>{escape(content.author)}, {content.date}</address>
</body></html>
"""


def _forum(host: Host, content: Content, words: Chrome) -> str:
    return f"""<!DOCTYPE html>
<html lang="{host.language}"><head>{_meta(content)}<title>{escape(content.title)} - {escape(host.title)}</title>
<meta name="generator" content="phpBB"></head><body id="phpbb" class="section-viewtopic">
<div id="wrap"><div id="page-header" class="headerbar"><ul class="linklist">
{_links(words)}
</ul></div><div id="page-body"><h2 class="topic-title">{escape(content.title)}</h2>
{content.main}
<div class="pagination">1 2 3 <a href="?start=20">{escape(words.older)}</a></div>
<div class="stat-block"><ul>
{_related(content)}
</ul></div></div>
<div id="page-footer">Powered by phpBB. {escape(words.rights)}</div></div></body></html>
"""


LAYOUTS: dict[str, Callable[[Host, Content, Chrome], str]] = {
    "blog": _blog,
    "news": _news,
    "docs": _docs,
    "wiki": _wiki,
    "table": _table,
    "plain": _plain,
    "forum": _forum,
}
