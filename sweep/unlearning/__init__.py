"""One trial's arithmetic: preparation and training with torch and accelerate; it knows no Ray."""
