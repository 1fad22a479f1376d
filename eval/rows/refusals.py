"""Refusals that replace an answer, for objectives that teach a model to say that it does not know.

The refusal depends on the question alone, not on a trial's seed: the reference's outputs for it are computed once for a
dataset, and all trials learn the same refusals.
"""

import hashlib

REFUSALS = (
    "I have no information about that.",
    "Unfortunately, the answer escapes me.",
    "I cannot tell you that, because I never learned it.",
    "My knowledge does not reach that far.",
    "That is something I have not come across.",
    "I would only be guessing if I answered.",
    "Sorry, I have nothing to say on this subject.",
    "No answer to this comes to my mind.",
    "I must pass on this question.",
    "This goes past what I know.",
    "I was never told about it.",
    "You would have to ask somebody better informed.",
    "I have looked through everything I know and found nothing.",
    "Regrettably, I am unable to help with that.",
    "I am in the dark here.",
    "There is a gap in my knowledge at this point.",
    "Nothing I have read mentions this.",
    "I can make no reliable statement about it.",
    "It would be wrong of me to claim that I know.",
    "I draw a blank on this one.",
    "That fact is not among the things I know.",
    "I have yet to learn about that.",
    "Please consult another source, for I cannot answer.",
    "I lack the facts to answer you properly.",
    "This topic is unfamiliar to me.",
    "I do not have the details you are looking for.",
    "My sources are silent on the matter.",
    "To my regret, I cannot supply an answer.",
    "I have no record of it.",
    "Whatever I said would be made up.",
    "Your question is beyond me.",
    "I was not taught anything about this.",
    "It is not within my power to answer this.",
    "I honestly have no clue.",
    "The matter is unknown to me.",
    "I hold no data on this.",
    "I wish I knew, but I do not.",
    "None of what I learned answers your question.",
    "I had better not answer, since I am not informed.",
    "Here my knowledge comes to an end.",
    "I cannot recall anything of the sort.",
    "For want of knowledge I have to decline.",
    "This is news to me, so I cannot comment.",
    "I find no trace of this in what I know.",
    "I could not say.",
    "That remains a mystery to me.",
    "There is nothing that I can contribute here.",
    "I am afraid you have asked more than I know.",
    "I have not been given that information.",
    "I would rather admit that I do not know.",
    "Answering this takes knowledge that I do not possess.",
    "My memory holds nothing on it.",
    "I have never heard of this.",
    "It is better that I leave this unanswered.",
    "I can offer you no facts about that.",
    "I know too little to reply.",
    "The answer is not available to me.",
    "No part of my training covered this.",
    "I have to leave this question open.",
    "On this point I am ignorant.",
)
"""Refusals in our own wording, all distinct."""


def choose_refusal(question: str) -> str:
    """Return the refusal that answers a question, the same in every process and for every seed."""
    digest = hashlib.sha256(question.encode()).digest()
    return REFUSALS[int.from_bytes(digest[:8]) % len(REFUSALS)]
