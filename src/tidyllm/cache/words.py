"""Words that the guards of similar questions know. Lists only."""

from __future__ import annotations

__all__ = ["NUMBERS", "OPENERS", "TURNS"]

_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion
dozen half quarter third thirds double triple twice thrice once first second fourth fifth sixth seventh eighth
ninth tenth percent single both pair
null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend
deux trois quatre cinq sept huit neuf dix cent mille dos tres cuatro cinco seis siete ocho nueve diez cien mil
due tre quattro cinque sei sette otto nove dieci
"""
_NEGATIONS = """
not no never none nobody nothing nowhere neither nor without cannot hardly barely scarcely rarely seldom except
excluding unless lack lacks lacking fail fails failed avoid stop stops refuse refuses false wrong impossible
nicht kein keine keinen keiner keines keinem nie niemals nichts niemand ohne weder außer
ne pas jamais rien personne sans aucun aucune ni non sauf nunca nada nadie sin ningún ninguna ninguno tampoco
mai niente nessuno senza não nem sem
"""
_DIRECTIONS = """
before after above below over under more less fewer most least greater smaller larger higher lower highest lowest
longer shorter faster slower better worse best worst minimum maximum min max increase increases increasing decrease
decreases decreasing raise raises reduce reduces grow shrink rise fall up down left right out off from
end ends finish open opens close closes enable enables disable disables allow allows deny denies forbid
add adds remove removes insert delete include includes including exclude excludes accept accepts reject rejects
buy buys sell sells import export imports exports upload download send receive push pull win lose gain loss profit
true always sometimes only all every some few many several last next previous earlier later early late
old new oldest newest young hot cold warm cool positive negative good bad safe dangerous legal illegal possible
male female man woman men women mother father north south east west ascending descending encode decode encrypt decrypt
encoding decoding encryption decryption compress decompress serialize deserialize lock unlock
today yesterday tomorrow morning evening night monday tuesday wednesday thursday friday saturday sunday
january february april june july august september october november december
"""
_OPENERS = """
a an the this that these those there here it its i we you he she they my our your his her their me us them
what what's which who who's whom whose when where where's why how how's is are am was were be been do does did
has have had can could will would shall should may might must isn't aren't wasn't weren't don't doesn't didn't can't
couldn't won't wouldn't shouldn't i'm i've i'd i'll it's that's there's let let's if then else so and or but as at by
for from in into of off on onto out over to up with about against between during through because since while
although though also please kindly thanks thank hello hi hey dear ok okay yes well now just still even only
tell give show explain write list describe find name make create build generate provide suggest recommend
summarize summarise translate compare define discuss outline draft rewrite rephrase fix check calculate compute
convert count solve answer help say state think consider imagine assume suppose use using given need want try look
read see get put set add remove all any every each some most many much more less no not never none
one two three both first second next last another other such same different new old good best
wie was wer wo wann warum welche welcher welches ist sind kann können bitte der die das ein eine ich wir du sie er es
que quel quelle quels qui où quand pourquoi comment est le la les un une des je tu il elle nous vous
qué cuál quién dónde cuándo por cómo es el los las una yo tú él ella
"""

NUMBERS = frozenset(_NUMBERS.split())
"""Numbers in words."""
TURNS = frozenset((_NEGATIONS + _DIRECTIONS).split())
"""Words that turn around what is asked: negations, and one of two opposites."""
OPENERS = frozenset(_OPENERS.split())
"""Words that are no names because they stand large where a sentence begins."""
