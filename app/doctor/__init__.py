"""`townwatch doctor`: checks everything that the service stands on, and repairs what can be repaired."""

from townwatch.app.doctor.examination import as_json, examine, worst
from townwatch.app.doctor.findings import Finding, Level
from townwatch.app.doctor.repair import RepairRefused, repair

__all__ = ["Finding", "Level", "RepairRefused", "as_json", "examine", "repair", "worst"]
