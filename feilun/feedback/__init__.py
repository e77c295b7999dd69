"""Feedback: events become lessons, weighed by how far their raters are believed. No torch, and no knowledge of numbers."""

from feilun.feedback.chats import ServedChats
from feilun.feedback.curation import LessonRules, curate, may_teach
from feilun.feedback.export import artifacts_to_rebuild, export_events
from feilun.feedback.foreign import import_feedback
from feilun.feedback.imports import import_lessons
from feilun.feedback.lessons import build_lessons, rater_hash
from feilun.feedback.protect import ExamQuestions, read_questions
from feilun.feedback.raters import Raters
from feilun.feedback.signals import SIGNALS, Signal
from feilun.feedback.trust import RaterTrust, rater_trust

__all__ = [
    "SIGNALS",
    "ExamQuestions",
    "LessonRules",
    "RaterTrust",
    "Raters",
    "ServedChats",
    "Signal",
    "artifacts_to_rebuild",
    "build_lessons",
    "curate",
    "export_events",
    "import_feedback",
    "import_lessons",
    "may_teach",
    "rater_hash",
    "rater_trust",
    "read_questions",
]
