"""Names of the languages that a web crawl is mostly made of; any other keeps its label."""

import re

_NAMES = """
eng en English 영어
kor ko Korean 한국어
deu de German 독일어
fra fr French 프랑스어
spa es Spanish 스페인어
rus ru Russian 러시아어
jpn ja Japanese 일본어
cmn zh Chinese 중국어
zho zh Chinese 중국어
ita it Italian 이탈리아어
por pt Portuguese 포르투갈어
pol pl Polish 폴란드어
nld nl Dutch 네덜란드어
ces cs Czech 체코어
vie vi Vietnamese 베트남어
ind id Indonesian 인도네시아어
tur tr Turkish 튀르키예어
arb ar Arabic 아랍어
ara ar Arabic 아랍어
fas fa Persian 페르시아어
pes fa Persian 페르시아어
swe sv Swedish 스웨덴어
ell el Greek 그리스어
ukr uk Ukrainian 우크라이나어
hun hu Hungarian 헝가리어
dan da Danish 덴마크어
ron ro Romanian 루마니아어
fin fi Finnish 핀란드어
tha th Thai 태국어
slk sk Slovak 슬로바키아어
bul bg Bulgarian 불가리아어
heb he Hebrew 히브리어
nob nb Norwegian 노르웨이어
nor no Norwegian 노르웨이어
nno nn Norwegian 노르웨이어
hrv hr Croatian 크로아티아어
srp sr Serbian 세르비아어
bos bs Bosnian 보스니아어
slv sl Slovenian 슬로베니아어
lit lt Lithuanian 리투아니아어
lvs lv Latvian 라트비아어
lav lv Latvian 라트비아어
ekk et Estonian 에스토니아어
est et Estonian 에스토니아어
hin hi Hindi 힌디어
ben bn Bengali 벵골어
tam ta Tamil 타밀어
tel te Telugu 텔루구어
mal ml Malayalam 말라얄람어
mar mr Marathi 마라티어
guj gu Gujarati 구자라트어
kan kn Kannada 칸나다어
npi ne Nepali 네팔어
nep ne Nepali 네팔어
urd ur Urdu 우르두어
zsm ms Malay 말레이어
msa ms Malay 말레이어
fil tl Filipino 필리핀어
tgl tl Tagalog 타갈로그어
cat ca Catalan 카탈루냐어
glg gl Galician 갈리시아어
eus eu Basque 바스크어
lat la Latin 라틴어
isl is Icelandic 아이슬란드어
gle ga Irish 아일랜드어
cym cy Welsh 웨일스어
als sq Albanian 알바니아어
sqi sq Albanian 알바니아어
mkd mk Macedonian 마케도니아어
bel be Belarusian 벨라루스어
kat ka Georgian 조지아어
hye hy Armenian 아르메니아어
azj az Azerbaijani 아제르바이잔어
aze az Azerbaijani 아제르바이잔어
kaz kk Kazakh 카자흐어
uzn uz Uzbek 우즈베크어
uzb uz Uzbek 우즈베크어
khk mn Mongolian 몽골어
mon mn Mongolian 몽골어
khm km Khmer 크메르어
lao lo Lao 라오어
mya my Burmese 미얀마어
sin si Sinhala 싱할라어
swh sw Swahili 스와힐리어
swa sw Swahili 스와힐리어
afr af Afrikaans 아프리칸스어
amh am Amharic 암하라어
epo eo Esperanto 에스페란토어
"""


def _table(column: int) -> dict[str, str]:
    rows = [line.split() for line in _NAMES.split("\n") if line]
    return {code: row[column] for row in rows for code in row[:2]}


_LABEL = re.compile(r"([a-z]{2,3})(?:_([A-Z][a-z]{3}))?")
_SHORTEST = _table(1)
_BY_CODE: dict[str, dict[str, str]] = {"en": _table(2), "ko": _table(3)}


def language_name(label: str, language: str) -> str:
    """The name of the language labelled so (`kor_Hang`, `kor`, `ko`), in English or Korean; "" where none is here."""
    return _BY_CODE[language].get(label.split("_", 1)[0].split("-", 1)[0], "")


def language_tag(label: str) -> str:
    """A language label (`kor_Hang`, `ko`) as a `lang` attribute's value (`ko-Hang`, `ko`), `und` where it is none.

    Browsers choose fonts by it, and know a language only by its shortest code (RFC 5646, 2.2.1).
    """
    match = _LABEL.fullmatch(label)
    if match is None:
        return "und"
    code, script = match.groups()
    return "-".join(part for part in (_SHORTEST.get(code, code), script) if part)
