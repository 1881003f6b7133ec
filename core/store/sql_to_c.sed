# Turns lines of SQL into lines of a C string literal.
s/[\\"]/\\&/g
s/.*/"&\\n"/
