"""`capacity`: the highest rate at which a driver meets an objective."""
