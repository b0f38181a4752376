"""The lab: data, starts, arms, verdicts and reports that all checks share, so that systems compare."""
