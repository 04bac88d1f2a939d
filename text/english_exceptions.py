"""English words that are cut, or kept whole, against the rules: contractions, abbreviations, clock times, emoticons.

Source: spaCy 3.8 (`lang/tokenizer_exceptions.py`, `lang/en/tokenizer_exceptions.py`), the facts generated from rules of
our own. A table maps a string to the tuple of words it becomes; joined, they are that string again.
"""

from collections.abc import Iterator

__all__ = ["exceptions"]

# Words and the endings they take, a word a tuple: `'d 've` makes he'd, he'd've, hed and hedve.
_WILL = ("'ll", "'ll 've", "'d", "'d 've")
_NOT = ("n't", "n't 've")
_CONTRACTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("i", ("'m", "'m a", "'ve", *_WILL)),
    ("you we they", ("'ve", "'re", *_WILL)),
    ("he she it that this", ("'s", *_WILL)),
    ("who what when where why how there", ("'s", "'re", "'ve", *_WILL)),
    ("these those", ("'re", "'ve", *_WILL)),
    ("ca do does did had may need ought sha wo", _NOT),
    ("could might must should would", (*_NOT, "'ve")),
    ("ai are is was were have has dare", ("n't",)),
    ("not", ("'ve",)),
)
# Without its apostrophe the contraction would be another word.
_OTHER_WORDS = "ill Ill its Its hell Hell shell Shell shed Shed were Were well Well whore Whore"

_CUT = (
    "y' all|y all|how 'd 'y|How 'd 'y|can not|Can not|gon na|Gon na|got ta|Got ta|let 's|Let 's|c'm on|C'm on|"
    "° c .|° f .|° k .|° C .|° F .|° K ."
)

_WHOLE = (
    # apostrophes at an end
    "doin goin nothin nuthin ol somethin lovin havin doin' goin' nothin' nuthin' ol' somethin' lovin' havin' "
    "Doin Goin Nothin Nuthin Ol Somethin Lovin Havin Doin' Goin' Nothin' Nuthin' Ol' Somethin' Lovin' Havin' "
    "em ll nuff 'em 'll 'nuff 'S 's ‘S ‘s 're 'd 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout "
    "ma'am Ma'am o'clock O'clock and/or w/o ' '' C++ "
    # months, states, titles and firms
    "Apr. Aug. Dec. Feb. Jan. Jul. Jun. Mar. Nov. Oct. Sep. Sept. "
    "Ak. Ala. Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. Md. Mich. Minn. "
    "Miss. Mo. Mont. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Okla. Ore. Pa. S.C. Tenn. Va. Wash. Wis. D.C. "
    "Adm. Bros. co. Co. Corp. Dr. Gen. Gov. Inc. Jr. Ltd. Messrs. Mr. Mrs. Ms. Mt. Ph.D. Prof. Rep. Rev. Sen. St. "
    "a.m. p.m. e.g. E.g. E.G. i.e. I.e. I.E. vs. v.s. ä. ö. ü. "
    # traces of programs
    '\\t \\n \\") <space> — '
    # faces
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; "
    ":( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :3 :-3 =3 :> :-> "
    ":P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :* :-* :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D "
    "^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 "
    "o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) "
    "¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"
)


def _contractions() -> Iterator[tuple[str, ...]]:
    for words, endings in _CONTRACTIONS:
        for word in words.split():
            for stem in (word, word.title()):
                for ending in endings:
                    parts = (stem, *ending.split())
                    yield parts
                    bare = tuple(part.replace("'", "") for part in parts)
                    if "".join(bare) not in _OTHER_WORDS.split():
                        yield bare


def _clock_times() -> Iterator[tuple[str, ...]]:
    for hour in range(1, 13):
        for half in ("am", "pm", "a.m.", "p.m."):
            yield str(hour), half


def exceptions() -> dict[str, tuple[str, ...]]:
    """Returns the 1,340-odd exceptions; those with `'` also stand with `’`."""
    table: dict[str, tuple[str, ...]] = {char: (char,) for char in " \t\n\u00a0"}
    table |= {f"{chr(letter)}.": (f"{chr(letter)}.",) for letter in range(ord("a"), ord("z") + 1)}
    table |= {whole: (whole,) for whole in _WHOLE.split()}
    for parts in (*_contractions(), *_clock_times(), *(tuple(cut.split()) for cut in _CUT.split("|"))):
        table["".join(parts)] = parts
    for parts in [parts for whole, parts in table.items() if "'" in whole]:
        typographic = tuple(part.replace("'", "’") for part in parts)
        table["".join(typographic)] = typographic
    return table
