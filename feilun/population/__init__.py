"""Simulated users: a process of their own that knows the product only through HTTP.

    python -m feilun.population --url URL --prompts prompts.jsonl --key-file KEY --turn 1
    python -m feilun.population --url URL --prompts prompts.jsonl --key-file KEY --measure --model REF --out FILE

It imports the standard library, httpx and feilun.types, nothing else of Feilun.

people.py   who they are and what pleases them       acts.py     what a person does about a reply
client.py   the wire: ask, give feedback, retry      journal.py  exactly once, through any kill
visit.py    one turn of events                       measure.py  what held-out people accept
briefs.py   the rules of a brief, and taste in ads
blind.py    what they choose between two generations
"""
