"""One input -> its features: a row of `FEATURES` numbers and the `ANSWER_BINS` of what was answered.

vector    numbers, however they are nested, of any length
image     numbers of a picture, or of a file's bytes
table     a row of numbers, words and gaps
answer    how sure the model was, or how long it spoke
reader    all of them, for one route
"""
