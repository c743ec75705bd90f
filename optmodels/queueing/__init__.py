r"""Queues of one station, shared by every problem whose requests wait for a processor.

Several *tenants* send requests to one station. Tenant :math:`i` sends them at a rate
:math:`\lambda_i`, as a Poisson process; the service of one takes :math:`s_i` on average, with the
second moment :math:`m_i = E[S_i^2]`. The station is busy for a share
:math:`\rho = \sum_i \lambda_i s_i` of the time, its *load*. How long a request takes on average,
its own service included, is the tenant's *response* :math:`R_i`.

Rooms: `stations` (first come first served, and processor sharing), `residency` (models that push
each other out of the memory of the processor), `cores` (several processors), `batching` (requests
served together), `percentiles`, and `events`, the event simulation that all of them are tested
against.

Rates and times may be in any one unit (requests per ms and ms, say). Where a function takes one
value per tenant, the last axis is that of the tenants, and further axes are further stations.
"""
