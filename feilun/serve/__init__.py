"""The product: an OpenAI-compatible API, feedback, and one page, over the champion of a home.

serve reads artifacts and the store; it never reaches training. No torch is imported until the native engine is asked for.
"""
