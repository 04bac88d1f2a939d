"""The sites of the sample and the words of their chrome: navigation, banners, footers, comment boxes."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """One site: where it lives and how its pages are built and sent."""

    name: str
    title: str
    language: str
    """Key of `CHROME`, the language of its navigation."""
    layout: str
    """Key of `service.sample.layout.LAYOUTS`."""
    encoding: str = "utf-8"
    """Character encoding of its pages, as Python names it."""
    charset: str = "utf-8"
    """The name under which it announces that encoding."""
    server: str = "nginx"
    scheme: str = "https"


ARTICLES: dict[str, tuple[Host, ...]] = {
    "en": (
        Host(name="www.stdlib-weekly.example", title="Stdlib Weekly", language="en", layout="blog"),
        Host(name="docs.longhand.example", title="Longhand Documentation", language="en", layout="docs",
             server="GitHub.com"),
        Host(name="wiki.threshingfloor.example", title="Threshing Floor Wiki", language="en", layout="wiki",
             server="Apache/2.4.62 (Debian)"),
        Host(name="archive.oldpress.example", title="The Old Press Archive", language="en", layout="table",
             encoding="cp1252", charset="ISO-8859-1", server="Apache/1.3.42 (Unix)", scheme="http"),
        Host(name="notes.quernstone.example", title="Quernstone Notes", language="en", layout="plain",
             encoding="cp1252", charset="windows-1252", server="lighttpd/1.4.76"),
    ),
    "ko": (
        Host(name="www.bangakgan.example", title="방앗간 신문", language="ko", layout="news"),
        Host(name="blog.hangeul-saenghwal.example", title="한글 생활", language="ko", layout="blog",
             encoding="euc-kr", charset="euc-kr", server="Apache/2.2.34 (Unix)", scheme="http"),
        Host(name="goksik.example", title="곡식 수첩", language="ko", layout="plain"),
    ),
    "de": (Host(name="www.kornkammer.example", title="Die Kornkammer", language="de", layout="news",
                encoding="iso-8859-1", charset="ISO-8859-1", server="Apache/2.4.62 (Debian)"),),
    "fr": (Host(name="www.le-moulin-gris.example", title="Le Moulin gris", language="fr", layout="blog",
                encoding="cp1252", charset="windows-1252"),),
    "es": (Host(name="www.molino-del-rio.example", title="El Molino del Río", language="es", layout="wiki"),),
    "ja": (Host(name="www.suisha-goya.example", title="水車小屋だより", language="ja", layout="table",
                encoding="shift_jis", charset="Shift_JIS", server="Apache/2.2.34 (Unix)", scheme="http"),
           Host(name="kome.example", title="米の手帖", language="ja", layout="plain", encoding="euc_jp",
                charset="EUC-JP")),
    "zh": (Host(name="www.laomofang.example", title="老磨坊", language="zh", layout="news", encoding="gb18030",
                charset="GB18030", server="openresty"),),
    "ru": (Host(name="www.staraya-melnitsa.example", title="Старая мельница", language="ru", layout="blog",
                encoding="cp1251", charset="windows-1251"),
           Host(name="zerno.example", title="Зерно", language="ru", layout="docs", encoding="utf-16",
                charset="UTF-16", server="Microsoft-IIS/10.0")),
}  # fmt: skip
"""Sites with articles, by language."""

GAZETTE = Host(name="www.millers-gazette.example", title="The Millers' Gazette", language="en", layout="news")
FORUM = Host(name="forum.bran-and-chaff.example", title="Bran & Chaff Forum", language="en", layout="forum",
             server="cloudflare")  # fmt: skip
MIRROR = Host(name="mirror.second-sieve.example", title="Second Sieve", language="en", layout="plain", server="Caddy")
SHOP = Host(name="shop.bargain-barn-4u.example", title="Bargain Barn 4U", language="en", layout="table",
            server="Microsoft-IIS/8.5")  # fmt: skip
FARM = Host(name="top10.content-combine.example", title="Content Combine", language="en", layout="blog",
            server="cloudflare")  # fmt: skip
FILES = Host(name="static.granary-files.example", title="Granary Files", language="en", layout="plain",
             server="AmazonS3")  # fmt: skip
REDIRECTS = Host(name="go.millrace.example", title="Millrace", language="en", layout="plain", server="Varnish")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chrome:
    """A language's words around the text."""

    nav: tuple[str, ...]
    cookies: str
    accept: str
    related: str
    comments: str
    more: str
    archive: str
    newer: str
    older: str
    share: str
    subscribe: str
    by: str
    rights: str
    names: tuple[str, ...]


CHROME: dict[str, Chrome] = {
    "en": Chrome(nav=("Home", "Articles", "Archive", "About", "Contact", "Search"),
                 cookies="We value your privacy. This site uses cookies to measure visits and improve your experience.",
                 accept="Accept all", related="You might also like", comments="Comments", more="Read more",
                 archive="Archive", newer="Newer posts", older="Older posts", share="Share this page",
                 subscribe="Subscribe to our newsletter", by="by", rights="All rights reserved.",
                 names=("Ada", "Brendan", "Constance", "Derek", "Edith", "Fergus", "Harriet", "Ivor")),
    "ko": Chrome(nav=("처음", "새 글", "갈래", "소개", "방명록", "찾기"),
                 cookies="이 사이트는 방문 기록을 살피고 더 나은 화면을 보여 드리려고 쿠키를 사용합니다.",
                 accept="모두 허용", related="함께 읽을 글",
                 comments="댓글", more="더 보기", archive="지난 글", newer="다음 쪽",
                 older="이전 쪽",
                 share="공유하기", subscribe="새 소식 받아 보기", by="글쓴이", rights="무단 전재 및 재배포 금지",
                 names=("김서연", "박도윤", "이하준", "최지우", "정민서", "한예준", "오수아", "윤건우")),
    "de": Chrome(nav=("Startseite", "Beiträge", "Archiv", "Über uns", "Kontakt", "Suche"),
                 cookies="Wir verwenden Cookies, um Inhalte zu personalisieren und Zugriffe zu zählen.",
                 accept="Alle akzeptieren", related="Das könnte Sie auch interessieren", comments="Kommentare",
                 more="Weiterlesen", archive="Archiv", newer="Neuere Beiträge", older="Ältere Beiträge",
                 share="Seite teilen", subscribe="Rundbrief abonnieren", by="von", rights="Alle Rechte vorbehalten.",
                 names=("Anke", "Bernd", "Clara", "Dieter", "Elke", "Friedrich", "Greta", "Jürgen")),
    "fr": Chrome(nav=("Accueil", "Articles", "Archives", "À propos", "Contact", "Recherche"),
                 cookies="Ce site utilise des cookies pour mesurer son audience et améliorer votre visite.",
                 accept="Tout accepter", related="À lire aussi", comments="Commentaires", more="Lire la suite",
                 archive="Archives", newer="Articles récents", older="Articles précédents", share="Partager",
                 subscribe="S'abonner à la lettre", by="par", rights="Tous droits réservés.",
                 names=("Amélie", "Bastien", "Cécile", "Didier", "Élodie", "François", "Hélène", "Jérôme")),
    "es": Chrome(nav=("Inicio", "Artículos", "Archivo", "Quiénes somos", "Contacto", "Buscar"),
                 cookies="Utilizamos cookies propias y de terceros para medir las visitas y mejorar la página.",
                 accept="Aceptar todo", related="También le puede interesar", comments="Comentarios", more="Leer más",
                 archive="Archivo", newer="Entradas recientes", older="Entradas antiguas", share="Compartir",
                 subscribe="Suscribirse al boletín", by="por", rights="Todos los derechos reservados.",
                 names=("Andrés", "Begoña", "Catalina", "Íñigo", "Lucía", "Martín", "Nuria", "Raúl")),
    "ja": Chrome(nav=("ホーム", "新着", "分類", "このサイトについて", "連絡先", "検索"),
                 cookies="当サイトでは、利用状況の把握と改善のためにクッキーを使用しています。",
                 accept="すべて許可",
                 related="関連する記事", comments="コメント", more="続きを読む",
                 archive="過去の記事", newer="次のページ",
                 older="前のページ", share="共有する",
                 subscribe="お知らせを受け取る", by="文",
                 rights="無断転載を禁じます。",
                 names=("佐藤", "鈴木", "高橋", "田中", "渡辺", "伊藤", "山本", "中村")),
    "zh": Chrome(nav=("首页", "文章", "归档", "关于我们", "联系方式", "搜索"),
                 cookies="本网站使用 Cookie 来统计访问量并改善您的浏览体验。", accept="全部接受", related="相关阅读",
                 comments="评论", more="阅读全文", archive="往期文章", newer="下一页", older="上一页", share="分享本文",
                 subscribe="订阅邮件", by="作者", rights="版权所有，未经许可不得转载。",
                 names=("王芳", "李伟", "张敏", "刘洋", "陈静", "杨帆", "赵磊", "周婷")),
    "ru": Chrome(nav=("Главная", "Статьи", "Архив", "О сайте", "Контакты", "Поиск"),
                 cookies="Мы используем файлы cookie, чтобы считать посещения и улучшать работу сайта.",
                 accept="Принять все", related="Читайте также", comments="Комментарии", more="Читать далее",
                 archive="Архив", newer="Новые записи", older="Старые записи", share="Поделиться",
                 subscribe="Подписаться на рассылку", by="автор", rights="Все права защищены.",
                 names=("Анна", "Борис", "Вера", "Глеб", "Дарья", "Егор", "Лидия", "Павел")),
}  # fmt: skip
