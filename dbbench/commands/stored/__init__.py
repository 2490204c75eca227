"""Result files beside each other: what two runs have in common, what changed between them, how ratios went over many.

Pure. Advisory by nature: what was measured in one job can be compared, what was measured in two can be looked at.
`dbbench gate` measures both sides in one job.
"""
