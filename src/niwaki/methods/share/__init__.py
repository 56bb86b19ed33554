"""Filter sharing: several task networks draw their filters from one bank."""
