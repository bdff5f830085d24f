"""The picture of a run: `report.html`, made of what lies in the run folder, and of several runs side by side."""
