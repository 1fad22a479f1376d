"""Rows, their encoding, the teacher-forced forward, and every metric measured on them."""
