"""What the chat page calls: threads, running answers, search, and what the model saw. Each caller sees only what is its own."""

from fastapi import APIRouter

__all__ = ["router"]

router = APIRouter(prefix="/api")
