"""`capacity`: the highest rate at which a driver holds an objective."""
