"""What people send, checked: query strings, answers, uploads, edits."""
