"""One input -> its features: a row of `FEATURES` numbers and the `ANSWER_BINS` of what was answered.

vector    numbers, however they are nested, of any length
image     numbers of a picture, or of a file's bytes
table     a row of numbers, words and gaps
text      what is said last, its template, its system prompt, and how it is put
words     hashes of a text's words, runs of characters and skeleton
manner    how a text is put: its length, its signs, its lines
answer    how sure the model was, or how long it spoke
reader    all of them, for one route
"""
