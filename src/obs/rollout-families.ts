/** The metrics of warmings and rollouts. */
export const ROLLOUT_FAMILIES = {
  infergate_warm_sample_bytes: ['gauge', 'route', 'Memory of the calls that are kept to be asked again.'],
  infergate_warm_sample_calls: ['gauge', 'route', 'Calls that are kept to be asked again.'],
  infergate_warm_calls_total: [
    'counter',
    'route pool outcome',
    'Calls of warmings: stored, present (there already), refused, unstored, failed, skipped.',
  ],
  infergate_rollout_share: ['gauge', 'route pool', 'Share of the calls that a rollout has moved.'],
  infergate_rollouts_total: ['counter', 'route outcome', 'Rollouts that came to an end, by how.'],
  infergate_rollout_phase: ['gauge', 'route phase', '1: the last rollout of the route is in this phase.'],
} as const
