"""From what was measured to a choice: an answer to a question, and the pros and cons of each method."""
