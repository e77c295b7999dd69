"""The generated bilingual world of the demo and the exams: by code and seed, ours, with every answer known. No torch.

numbers.py    numbers as strings: number order, version order, and the pairs reserved for exams
facts.py      questions with one right answer, per task and split, in both languages
text.py       documents for pretraining: true lines about the same world
copywriting.py  briefs, the rules that check an ad, and ads in several styles; shop.py holds its words
dialogues.py  examples of answering for the first generation, and the prompt file of the people
probes.py     the few questions that every generation is asked, to be read side by side
words.py      the small vocabulary

A reserved pair of numbers stands in no document, example or prompt: right answers about it in an exam were never shown.
"""
