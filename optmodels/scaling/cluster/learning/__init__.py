"""CarbonFlex: a cluster that learns from its own past what an oracle would have done.

===============  =================================================================================
module           what it holds
===============  =================================================================================
`carbonflex`     the policy
`features`       the state of a cluster as a few numbers
`history`        what a policy knows of jobs and carbon so far, cut into windows
`lessons`        replays of the oracle on windows that are over
`cases`          states with what the oracle did in them, and the search for the nearest
`provisioning`   how many servers a slot gets
`schedule`       which jobs get them
===============  =================================================================================

Source: Hanafy et al., "CarbonFlex: Enabling Carbon-aware Provisioning and Scheduling for Cloud
Clusters" (arXiv 2505.18357).
"""
